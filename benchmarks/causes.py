"""How often a verdict names the true cause: each mutant is judged with a fresh seed, and its own class says the cause.

    python benchmarks/causes.py [--whole] [--profile P] [--commands] [MUTANT …]

A mutant's `cause` is the hypothesis that is true of it, with its parameter, or several; none where no hypothesis is.
The first cause that a verdict names is right if it is among them, and wrong otherwise: also where a mutant has none.
Judged are the promises of the laws that each mutant is meant for, `--whole` or where none of them breaks all of its
operator, in the profile that promises to fail it unless another is given. A seed for one verdict is printed with what
it says.

With `--commands` the real commands are run for each mutant as well: `gate -x`, for the seconds to its cause, start
included; and `replay --snippet` of its first finding, for whether the script shows it.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from keeprate.harness.judging.request import Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.lookup import find

ROOT = Path(__file__).parents[1]
mutation = find(str(ROOT / "tests" / "mutation.py"), group="", kind="module")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="judge all promises of the operator")
    parser.add_argument("--profile", help="in place of the quickest that promises to fail it")
    parser.add_argument("--commands", action="store_true", help="time `gate -x`, and write a script of each")
    parser.add_argument("mutants", nargs="*", help="beginnings of names; all unless given")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    scripts: Counter[str] = Counter()
    seconds: list[tuple[float, float]] = []
    for name, mutant in mutation.mutants():
        if arguments.mutants and not name.startswith(tuple(arguments.mutants)):
            continue
        started = time.process_time()
        whole = arguments.whole or mutation.is_of_all(mutant)
        verdict = mutation.judged(mutant, asked(mutant, arguments.profile, whole=whole))
        if not (verdict.failing or whole):  # another law, not asked for, ended the cases
            verdict = mutation.judged(mutant, asked(mutant, arguments.profile, whole=True))
        answer = answer_of(verdict, true_of(mutant))
        counts[answer] += 1
        said = verdict.causes[0].sentence if verdict.causes else ""
        explained = sum(len(cause.explains) for cause in verdict.causes)
        print(
            f"{answer:<8} {name}: {[cause.id for cause in verdict.causes]}, {explained} of {len(verdict.failing)}; "
            f"{said or mutation.says(mutant)} [seed {verdict.seed}, {time.process_time() - started:.1f} s]"
        )
        if arguments.commands and verdict.failing:
            script = script_of(mutant, verdict)
            scripts["written" if script.startswith("wrote") else "not written"] += 1
            seconds.append(seconds_of(mutant, verdict.profile))
            print(f"         {seconds[-1][0]:.1f} s, {seconds[-1][1]:.1f} s of CPU time; {script}")
        sys.stdout.flush()
    known = sum(counts[one] for one in ("right", "wrong", "silent"))
    judged = known + counts["none"] + counts["invented"]
    wrong = counts["wrong"] + counts["invented"]
    right, others = counts["right"], counts["none"] + counts["invented"]
    print(
        f"{judged} failed, {known} of a known kind: {right} right ({right / max(1, known):.1%}; of all "
        f"{right / max(1, judged):.1%}), {counts['silent']} silent; {wrong} wrong ({wrong / max(1, judged):.1%}); "
        f"of {others} of no known kind {counts['invented']} were given a cause; {counts['kept']} not failed"
    )
    if seconds:
        for (median, most), of in zip(np.quantile(seconds, (0.5, 0.9), axis=0).T, ("", " of CPU time"), strict=True):
            print(f"`gate -x`: median {median:.1f} s{of}, nine in ten within {most:.1f} s")
        print(f"scripts: {dict(scripts)}")


def script_of(mutant: type, verdict: Verdict) -> str:
    """What `replay --snippet` says of a script for the first finding that is told."""
    first = verdict.causes[0].explains[0] if verdict.causes else verdict.failing[0].id
    with TemporaryDirectory() as folder:
        seed = ("--seed", str(verdict.seed), "--profile", verdict.profile)
        run = keeprate("replay", first, "--backend", mutation.address(mutant), *seed, "--snippet", f"{folder}/fault.py")
    said = " ".join((run.stdout + run.stderr).split())
    return said[max(said.rfind("wrote /"), said.rfind(f"{folder}/fault.py is not"), said.rfind("error: "), 0) :]


def seconds_of(mutant: type, profile: str) -> tuple[float, float]:
    """Seconds from the start of `gate -x` to its end, and of CPU time, its workers' included."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    keeprate("gate", "-x", "--backend", mutation.address(mutant), "--profile", profile)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, spent


def keeprate(*words: str) -> subprocess.CompletedProcess[str]:
    """A command, run."""
    return subprocess.run([sys.executable, "-P", "-m", "keeprate", *words], capture_output=True, text=True, check=False)


def asked(mutant: type, profile: str | None, *, whole: bool) -> Request:
    """What its first operator is asked."""
    request = mutation.asked_of(mutant, mutant.ops[0], profile or mutation.profile_of(mutant))
    families = mutation.families_of(mutant)
    chosen = {text: one for text, one in request.promises.items() if whole or one.id.family in families}
    return request.among(chosen)


def true_of(mutant: type) -> tuple[str, ...]:
    """The hypotheses that are true of it, as its own class says."""
    cause = vars(mutant).get("cause", ())
    return (cause,) if isinstance(cause, str) else cause


def answer_of(verdict: Verdict, true: tuple[str, ...]) -> str:
    """Whether the first cause is right; `none` where no cause is known and none is said."""
    if not verdict.failing:
        return "kept"
    if not verdict.causes:
        return "silent" if true else "none"
    named = verdict.causes[0].id
    if any(named == one or named.startswith((f"{one}:", one)) for one in true):
        return "right"
    return "wrong" if true else "invented"


if __name__ == "__main__":
    main()
