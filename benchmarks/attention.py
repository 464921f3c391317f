"""Which faulty attention, recurrent layers and encoder layers a profile fails, and whether it names the cause.

    python benchmarks/attention.py [--profile gate] [--skip FILE] [MUTANT …]

Each mutant of `tests/attention` is judged with a fresh seed on its first operator, in float32 unless its fault is of
another dtype, called plainly and in the context where it is faulty. A line says what became of one. One that has a line
in FILE, which an interrupted run has printed, is not judged again; the last line counts it too.
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

FOLDER = Path(__file__).parents[1] / "tests" / "attention"
OPERATORS = {"faulty": "attention", "faulty_recurrent": "lstm_dropout", "faulty_encoder": "encoder_layer"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="gate")
    parser.add_argument("--skip", type=Path, help="lines of an earlier run")
    parser.add_argument("mutants", nargs="*", help="names; all unless given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
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
