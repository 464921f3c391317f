"""Which faulty attention, recurrent layers and encoder layers a profile fails, and whether it names the cause.

    python benchmarks/attention.py [--profile gate] [--skip FILE] [MUTANT …]
    python benchmarks/attention.py --entries torch

Each mutant of `tests/attention` is judged with a fresh seed on its first operator, in float32 unless its fault is of
another dtype, called plainly and in the context where it is faulty. A line says what became of one. One that has a line
in FILE, which an interrupted run has printed, is not judged again; the last line counts it too. With `--entries` a
backend's plain masks of (2, 4, 32, 128) in float32 are judged by all laws, and entries a second of CPU time are told.
"""

import argparse
import inspect
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.pool import InProcess
from keeprate.specs.attention.plan import WIDE
from keeprate.suite import Case

FOLDER = Path(__file__).parents[1] / "tests" / "attention"
OPERATORS = {"faulty": "attention", "faulty_recurrent": "lstm_dropout", "faulty_encoder": "encoder_layer"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="gate")
    parser.add_argument("--skip", type=Path, help="lines of an earlier run")
    parser.add_argument("--entries", metavar="BACKEND", help="how many entries of it are judged a second, on one core")
    parser.add_argument("mutants", nargs="*", help="names; all unless given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.entries:
        print(f"{entries_a_second(arguments.entries, arguments.profile):.3g} entries a second")
        return
    lines = arguments.skip.read_text(encoding="utf-8").splitlines() if arguments.skip else []
    before = {line.split()[1].removesuffix(":"): line.split()[0] for line in lines if ":" in line}
    counts = Counter(before.values())
    for name, mutant in mutants():
        if name in before or (arguments.mutants and mutant.__name__ not in arguments.mutants):
            continue
        started = time.process_time()
        verdict = judged(name, mutant, arguments.profile)
        causes = [cause.id for cause in verdict.causes]
        said = (
            "kept" if verdict.conforms else "right" if mutant.cause in causes[:1] else "wrong" if causes else "silent"
        )
        counts[said] += 1
        seconds = time.process_time() - started
        print(
            f"{said:<6} {name}: {causes}, {len(verdict.failing)} broken [seed {verdict.seed}, {seconds:.1f} s]",
            flush=True,
        )
    failed = counts.total() - counts["kept"]
    print(f"{failed} of {counts.total()} failed at {arguments.profile}; of their causes {counts['right']} named first")


def entries_a_second(name: str, profile: str) -> float:
    """Entries of plain masks, drawn, read and judged, in a second of CPU time of this process."""
    request = ask("", profile=profile, suite="attention", ops=["attention"], dtypes=["float32"]).alone()
    wide = {text: one for text, one in request.promises.items() if all(map(is_wide, one.cases))}
    request = request.among(wide)
    backend = load_backend(name, load_suite("attention"))
    started = time.process_time()
    verdict = answer(request, InProcess(backend, request.suite, request.names))
    assert verdict.conforms, str(verdict)
    drawn = sum({case.id: case.draws for one in wide.values() for case in one.cases}.values())
    return drawn / (time.process_time() - started)


def is_wide(case: Case) -> bool:
    return case.study == "masks" and case.shape == WIDE and case.context == "eager"


def mutants() -> Iterator[tuple[str, type]]:
    """Each mutant and its name, file/class."""
    for stem in OPERATORS:
        module = find(str(FOLDER / f"{stem}.py"), group="", kind="module")
        for name, item in vars(module).items():
            if inspect.isclass(item) and "meant_for" in vars(item):
                yield f"{stem}/{name}", item


def judged(name: str, mutant: type, profile: str) -> Verdict:
    """The verdict over it, in this process; other processes load it by its name."""
    stem, _, label = name.partition("/")
    dtypes = ["float16"] if "dtype" in mutant.meant_for else ["float32"]
    contexts = {"eager", "grad", getattr(mutant, "where", "eager")}
    request = ask("", profile=profile, suite="attention", ops=[OPERATORS[stem]], dtypes=dtypes).alone()
    request = request.among({text: one for text, one in request.promises.items() if one.id.context in contexts})
    backend = load_backend(f"{FOLDER}/{stem}.py:{label}", load_suite("attention"))
    return answer(request, InProcess(backend, request.suite, request.names))


if __name__ == "__main__":
    main()
