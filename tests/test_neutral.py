"""The harness judges whatever a suite promises: it names no operator, law or context of dropout, and no framework."""

import ast
import json
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from keeprate.harness.protocol.suite import load_suite

HARNESS = Path(__file__).parents[1] / "harness"

# English that is a law's or a context's name as well. In prose, and as a name in Python, it means what it says: only a
# string that is nothing else could be looked up among laws or contexts.
ENGLISH = {
    *("arguments", "blocks", "calls", "concurrency", "data", "endpoints", "evaluation", "modes", "moments", "outcomes"),
    *("positions", "rank", "runs", "seeding", "segments", "shape", "spread", "streams", "strides", "dtype"),
    *("checkpoint", "compile", "module", "process", "state", "thread"),
}
ALLOWED = {
    "dtype": "a part of a finding's id, and a key of the public JSON",
    "shape": "the same",
    "strides": "the same",
    "moments": "the type tag of a kind of evidence",
    "rank": "a key of the public JSON: a finding's place in the order of telling",
    "runs": "a key of the public JSON: how often a ledger was added to",
}
FRAMEWORKS = {"pytorch", "tensorflow", "paddle", "mindspore", "onnx"}  # besides those that have an adapter
OUR_TOOLS = {"numpy"}  # which has an adapter, and is what evidence is counted with


def suites_words():
    """What the suite of dropout calls its operators, laws and contexts, and what the adapters call their frameworks."""
    ids = [promise.id for promise in load_suite("dropout").promises("deep").values()]
    found = {each.op.strip("_") for each in ids} | {each.family for each in ids}
    found |= {part for each in ids for part in re.split(r"\W+", each.context)}
    for name in FRAMEWORKS | {point.name for point in entry_points(group="keeprate.backends")}:
        found |= {name, *name.split("-")}
    return found - OUR_TOOLS - {""}


def texts():
    return {
        str(path.relative_to(HARNESS.parent)): path.read_text(encoding="utf-8")
        for path in sorted(HARNESS.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def named(text, words):
    """The words in a text, each with its line; `KeepRate`, `_keep_rate` and `keep_rates` hold the word `keep_rate`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    for match in re.finditer(rf"(?<![a-z0-9])(?:{pattern})(?=s?(?![a-z0-9]))", apart):
        yield apart.count("\n", 0, match.start()) + 1, match[0]


def strings_of(name, text):
    """Every string of a module or of a JSON document, with its line where there is one."""
    if name.endswith(".json"):
        found = []
        json.loads(text, object_pairs_hook=lambda pairs: found.extend(key for key, _ in pairs))
        yield from ((0, key) for key in found)
    elif name.endswith(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value


def test_the_words_that_are_looked_for_are_those_of_the_suite():
    words = suites_words()
    assert {
        "dropout",
        "alpha_dropout",
        "keep_rate",
        "eager",
        "vmap",
        "torch",
        "mlx",
        "keras",
        "jax",
        "pytorch",
    } <= words
    assert words >= ENGLISH | ALLOWED.keys(), "what the suite no longer has needn't be excused"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# as dropout does", ["dropout"]),
        ("def keep_rates(): ...", ["keep_rate"]),
        ("class EagerCase: ...", ["eager"]),
        ("x.my_dropout2d", ["dropout2d"]),
        ("the rate that is kept; eagerly, dropouts2, gradual", []),
    ],
)
def test_a_word_is_found_in_prose_and_in_names(text, found):
    assert [word for _, word in named(text, suites_words() - ENGLISH)] == found


def test_the_harness_names_nothing_of_dropout_and_no_framework():
    words = suites_words() - ENGLISH
    found = [f"{name}, line {line}: {word}" for name, text in texts().items() for line, word in named(text, words)]
    assert found == [], "\n" + "\n".join(found)


def test_the_harness_looks_for_no_law_and_no_context_whose_name_is_english():
    found = [
        f"{name}, line {line}: '{string}'"
        for name, text in texts().items()
        for line, string in strings_of(name, text)
        if re.fullmatch(r"[a-z]+(:\w+)?", string) and string.partition(":")[0] in ENGLISH - ALLOWED.keys()
    ]
    assert found == [], "\n" + "\n".join(found)
