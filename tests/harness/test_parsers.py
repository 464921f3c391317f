"""What people and backends write is read or refused, whatever it is: never a traceback."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeprate.harness.commands.published import read_verdict
from keeprate.harness.errors import UsageError
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.known import read_known
from keeprate.harness.judging.listing import known_text
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.case import FindingId
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.untrusted_text import printable
from keeprate.harness.workers.child import result_of
from keeprate.harness.workers.limits import parse_size, size_text
from keeprate.harness.workers.pool import InProcess

COIN, COINS = (str(Path(__file__).with_name(name)) for name in ("coin.py", "coins.py"))

SLOW = settings(deadline=None)  # the machine may be busy


def read_or_refused(function, *arguments):
    """What `function` gives, or the sentence with which it refuses."""
    try:
        return function(*arguments), ""
    except UsageError as error:
        return None, str(error)


ID_LETTERS = string.ascii_letters + string.digits + "/:.+-_"


@SLOW
@given(st.text())
def test_any_text_is_an_id_or_refused(text):
    id, refusal = read_or_refused(FindingId.parse, text)
    if refusal:
        assert "op/law/dtype/parameters/shape/context" in refusal
    else:
        assert str(id) == text
        assert all(id)


@SLOW
@given(st.lists(st.text(ID_LETTERS.replace("/", ""), min_size=1), min_size=6, max_size=6))
def test_six_parts_are_an_id(parts):
    id = FindingId.parse("/".join(parts))
    assert list(id) == parts
    assert id.law == (f"{id.family}:{id.parameter}" if ":" in id.law else id.family)


@settings(max_examples=20, deadline=None)
@given(st.text(ID_LETTERS))
def test_any_finding_is_in_the_plan_or_refused(text):
    promises = load_suite("dropout").promises("quick")
    try:
        request = ask("mlx", profile="quick", finding=text)
    except UsageError:
        assert text not in promises
    else:
        assert list(request.promises) == [text]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("known") / "list.txt"


@SLOW
@given(data=st.binary() | st.text().map(str.encode))
def test_any_file_is_a_list_of_known_deviations_or_refused(path, data):
    path.write_bytes(data)
    known, refusal = read_or_refused(read_known, path)
    if refusal:
        assert refusal.startswith(f"known deviations {path}")
    else:
        assert all(line.pattern and line.reason for line in known.lines)
        known.reason("dropout/keep_rate/float32/p0.3/64x1024/eager")


LINE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@SLOW
@given(findings=st.lists(st.tuples(st.text(ID_LETTERS, min_size=1), LINE)))
def test_a_list_that_is_written_is_read_again(path, findings):
    path.write_text(known_text(findings), encoding="utf-8")
    assert [line[:2] for line in read_known(path).lines] == findings


@SLOW
@given(st.text() | st.from_regex(r"\A\d+(\.\d+)?[KMGTkmgt]?(i?B)?\Z"))
def test_any_text_is_a_size_or_refused(text):
    size, refusal = read_or_refused(parse_size, text)
    if refusal:
        assert "is not a size as in 4G or 512M" in refusal
    else:
        assert size > 0
        assert size_text(size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A verdict as it is written, and the path of a file to write others to."""
    request = ask("", profile="quick", suite=COIN, seed=1)
    fair = find(f"{COINS}:Bent", group="keeprate.backends", kind="backend")
    verdict = answer(request, InProcess(fair, request.suite, request.names)).public()
    return verdict, tmp_path_factory.mktemp("published") / "v.json"


def as_given(verdict):
    """A verdict without what is told anew from its findings when it is read."""
    kept = {key: value for key, value in verdict.items() if key not in ("sentence", "watched", "mended", "findings")}
    return kept, [{key: value for key, value in one.items() if key != "replay"} for one in verdict["findings"]]


def assert_read_or_refused(path, text):
    path.write_bytes(text)
    verdict, refusal = read_or_refused(read_verdict, path)
    if refusal:
        assert refusal.startswith(f"{path}: ")
    else:
        assert as_given(verdict) == as_given(printable(json.loads(text.decode("utf-8-sig"))))
        assert verdict == printable(verdict)  # no text holds what a terminal obeys
        json.dumps(verdict, allow_nan=False)
    return verdict


def test_a_verdict_that_is_written_is_read_again(published):
    verdict, path = published
    written = json.dumps(verdict)
    assert assert_read_or_refused(path, written.encode()) == json.loads(written)


@SLOW
@given(data=st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_is_a_verdict_or_refused(published, data):
    assert assert_read_or_refused(published[1], data) is None  # that one is found by chance is beyond hope


@SLOW
@given(data=st.data(), value=JSON)
def test_a_verdict_with_any_part_exchanged_is_a_verdict_or_refused(published, data, value):
    verdict, path = published
    spoilt = json.loads(json.dumps(verdict))
    place = spoilt
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    assert_read_or_refused(path, json.dumps(spoilt).encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"schema":' * 100_000,
        "9" * 5000,
        "1e999",
        "NaN",
        f'{{"seed": {2**63}}}',
        '{"a": 1, "a": 2}',
        '"\\ud800"',
        "\x00",
    ],
)
def test_what_is_hardly_json_is_no_verdict(published, text):
    assert assert_read_or_refused(published[1], text.encode()) is None


@SLOW
@given(cut=st.floats(0, 1, exclude_max=True))
def test_half_a_verdict_is_none(published, cut):
    verdict, path = published
    text = json.dumps(verdict).encode()
    assert assert_read_or_refused(path, text[: int(cut * len(text))]) is None


CASE = load_suite("dropout").cases("quick")[0]
JOB = Job("backend", CASE, 0, dict.fromkeys(CASE.findings))
RIGHT = Result("backend", CASE.id, error="why").to_json()
KINDS = st.sampled_from(["tally", "moments", "check", "verdict"])


@SLOW
@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(RIGHT, JSON)))
def test_any_answer_of_a_worker_is_no_result_and_said_to_be_none(answer):
    with pytest.raises(ValueError, match=r"no result|the result of"):
        result_of({"result": answer}, JOB)


@SLOW
@given(st.dictionaries(st.text(), st.builds(lambda kind, more: {**more, "type": kind}, KINDS, st.dictionaries(
    st.sampled_from(["cells", "counts", "probabilities", "checked", "wrong", "first", "departure", "draws"]), JSON
)), min_size=1))  # fmt: skip
def test_any_evidence_is_evidence_or_none(evidence):
    try:
        result = result_of({"result": {**RIGHT, "evidence": evidence}}, JOB)
    except ValueError:
        return
    json.dumps(result.to_json())


@pytest.mark.parametrize(
    "spoil",
    [{"unreadable": None}, {"not_offered": {"a": 1}}, {"error": 7}, {"evidence": []}, {"case": "a/b/c"}, {"role": "x"}],
)
def test_an_answer_of_wrong_types_is_none(spoil):
    with pytest.raises(ValueError, match=r"no result|the result of"):
        result_of({"result": {**RIGHT, **spoil}}, JOB)


def test_the_right_answer_is_a_result():
    assert result_of({"result": RIGHT}, JOB).error == "why"
