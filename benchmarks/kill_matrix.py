"""Which law catches which mutant, after how many draws: judges all of them, and writes docs/kill-matrix.json and .md.

What breaks where is also the key of the likely causes that a verdict names: specs/dropout/causes.json.

    python benchmarks/kill_matrix.py [--workers 1] [--again] [--only kind:Name,…]

Each mutant of `tests/mutants` is judged at `gate` and at `quick`, with fresh seeds, on the first operator that it
breaks, in float32 unless it chose its dtypes, called plainly and in the contexts that have a part of where it is
faulty. The reference is judged once, by every law, before the first of them. What was judged before and has not changed
since is kept, so an interrupted run goes on where it ended; `--again` begins anew. The last line says how many each
profile failed.
"""

import argparse
import functools
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import torch
from stamps import plan_of

from keeprate.harness.judging.finding import outcome
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.pool import InProcess
from keeprate.specs.dropout.likeness import Mark, marks_of, traits_of

ROOT = Path(__file__).parents[1]
MATRIX, PAGE = ROOT / "docs" / "kill-matrix.json", ROOT / "docs" / "kill-matrix.md"
KEY = ROOT / "specs" / "dropout" / "causes.json"
PROFILES = ("quick", "gate")
INTRODUCTION = """\
# What catches which mutant

Made by `make mutants`; not to be edited. A mutant is a faulty backend of [`tests/mutants`](../tests/mutants), with one
fault that somebody shipped or could have. Each was judged once at `gate` and once at `quick`, with fresh seeds, on the
first operator that it breaks, in float32 unless the fault is of another dtype, called plainly and in the contexts where
it is faulty; one whose fault is too small for any operator was judged on all (`-`). A case stops drawing once one of
its findings is broken, so a law that is slower than another may be blank where it would have spoken later. The
reference was judged once, with the draws that a gate gives it, and kept every promise."""
CELLS = """\
## Mutant by law

A cell is the fewest draws (deterministic laws: elements or calls) that a broken finding of the law had been given when
its cases ended. A case ends early once a finding of its own is broken; a finding that pools several cases has the draws
of them all, so it may have been broken long before. × where none were counted, as in a case that ended in an error.
Laws that broke nothing in a table are left out."""

mutation = find(str(ROOT / "tests" / "mutation.py"), group="", kind="module")


@functools.cache
def all_mutants() -> dict[str, Any]:
    return dict(mutation.mutants())


def reference_keeps_its_promises() -> int:
    """How many promises the reference kept, with the draws that a gate gives it; its known deviations are left out.

    Raises:
        SystemExit: it broke another one, so that no verdict would be worth anything.
    """
    torch.set_num_threads(1)
    request = ask("", profile="gate")
    runner = InProcess(mutation.faithful()["Plain"](), request.suite, request.names)
    given = request.given(*runner.offers())
    todo = [job for job in given.jobs() if job.role == "reference"]
    results = {result.case: result for result in runner.map(todo)}
    failures, kept = [], 0
    for text, promise in given.of_reference.items():
        if promise.cases and given.known_of_reference.reason(text) is None:
            status, why = outcome(promise, results, request.alpha)
            kept += status == "kept"
            failures += [f"{text}: {status}, {why}"] if status != "kept" else []
    if failures:
        raise SystemExit(f"the reference doesn't keep its promises: {'; '.join(failures[:3])}")
    return kept


def as_json(mark: Mark) -> dict[str, Any]:
    """What is not empty of a mark."""
    return {key: value for key, value in asdict(mark).items() if value not in (None, (), 0, "")}


def judge(name: str) -> dict[str, Any]:
    """What broke, at each profile."""
    torch.set_num_threads(1)
    mutant = all_mutants()[name]
    op = ANY if mutation.is_of_all(mutant) else mutant.ops[0]
    row: dict[str, Any] = {
        "says": mutation.says(mutant),
        "defects": mutation.defects_of(mutant),
        "op": op,
        "source": mutation.source(mutant),
        "plans": [plan_of(profile) for profile in PROFILES],
    }
    for profile in PROFILES:
        started = time.process_time()
        request = mutation.asked_of(mutant, op, profile)
        verdict = mutation.judged(mutant, request)
        row["dtypes"] = sorted({case.dtype for one in request.promises.values() for case in one.cases} - {ANY})
        row[profile] = {
            "seed": verdict.seed,
            "seconds": round(time.process_time() - started, 1),
            "contexts": sorted({one.context for one in verdict if one.status in ("kept", "broken", "error")}),
            "marks": [as_json(mark) for mark in marks_of(verdict)],
        }
    return row


def families(marks: Iterable[dict[str, Any]]) -> dict[str, int | None]:
    """For each law that broke, its parameter left out, the fewest draws or elements after which it did."""
    found: dict[str, int | None] = {}
    for mark in marks:
        law = mark["law"].partition(":")[0]
        seen = [number for number in (found.get(law), mark.get("draws")) if number]
        found[law] = min(seen, default=None)
    return found


def table(rows: dict[str, Any], laws: list[str]) -> list[str]:
    """Mutant × law: a cell is how many draws, or elements, it took."""
    head = ["mutant", "operator", "quick", *laws]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, row in rows.items():
        caught, first = families(row["gate"]["marks"]), families(row["quick"]["marks"])
        cells = [short(caught[law]) if law in caught else "" for law in laws]
        lines.append(f"| {name.partition(':')[2]} | {row['op']} | {'yes' if first else 'no'} | {' | '.join(cells)} |")
    return lines


def short(number: int | None) -> str:
    """A number of draws in two digits, or a cross where none were counted."""
    if not number:
        return "×"
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.2g}{unit}" if number < 100 * size else f"{number // size}{unit}"
    return str(number)


def page(rows: dict[str, Any]) -> str:
    """The matrix for people."""
    order = list(load_suite("dropout").by_name)
    caught = {name: set(families(row["gate"]["marks"])) for name, row in rows.items()}
    quick = {name for name, row in rows.items() if families(row["quick"]["marks"])}
    missed = [name for name, laws in caught.items() if not laws]
    sole: dict[str, dict[str, list[str]]] = {law: {} for law in order}
    for profile in PROFILES:
        for name, row in rows.items():
            if len(laws := families(row[profile]["marks"])) == 1:
                sole[next(iter(laws))].setdefault(profile, []).append(name)
    idle = [law for law in order if not sole[law]]
    names = shortened(rows)
    seconds = sum(row[profile]["seconds"] for row in rows.values() for profile in PROFILES)
    idle_at_all = [law for law in order if not any(law in laws for laws in caught.values())]
    today = [plan_of(profile) for profile in PROFILES]
    of_today = sum(row.get("plans") == today for row in rows.values())
    lines = [
        f"{INTRODUCTION} All of it took {seconds / 60:.0f} minutes of one core.",
        "",
        f"A mutant is judged again when it changes, not when the plan does: {of_today} of {len(rows)} rows are of the "
        f"plan with which this page was made ({', '.join(today)})"
        f"{', the others of earlier ones' * (of_today < len(rows))}. "
        "`make mutants ARGS=--again` judges all.",
        "",
        f"- **{len(rows) - len(missed)} of {len(rows)}** mutants fail at `gate`, **{len(quick)}** at `quick` "
        f"({len(quick) / len(rows):.0%}).",
        f"- Killed by nothing: {listed(missed)}.",
        f"- Not killed at `quick`: {listed(sorted(set(rows) - quick))}.",
        f"- Laws that kill no mutant: {listed(idle_at_all)}.",
        f"- Laws that alone kill none, at either profile, as another kills each of theirs too: {listed(idle)}.",
        "",
        "## What each law kills",
        "",
        "| law | kills at `gate` | alone, at `gate` or `quick` |",
        "|---|---|---|",
        *(
            f"| {law} | {sum(law in laws for laws in caught.values())} | "
            f"{', '.join(dict.fromkeys(names[name] for found in sole[law].values() for name in found))} |"
            for law in order
        ),
        "",
        "Shipped defects that no mutant stands for: "
        + "; ".join(f"{defect}, {reason}" for defect, reason in mutation.NOT_WRITTEN.items())
        + ".",
        "",
        CELLS,
    ]
    for kind in dict.fromkeys(name.partition(":")[0] for name in rows):
        mine = {name: row for name, row in rows.items() if name.startswith(f"{kind}:")}
        laws = [law for law in order if any(law in caught[name] for name in mine)]
        lines += ["", f"### {kind}", "", *table(mine, laws)]
    return "\n".join(lines) + "\n"


def shortened(rows: Iterable[str]) -> dict[str, str]:
    """The mutants' names without their kinds, where no other kind has the same."""
    count = Counter(name.partition(":")[2] for name in rows)
    return {name: name if count[last := name.partition(":")[2]] > 1 else last for name in rows}


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def write(rows: dict[str, Any]) -> None:
    """Both files, in the order of the modules; a line for each mutant."""
    ordered = {name: rows[name] for name in all_mutants() if name in rows}
    body = ",\n".join(f" {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in ordered.items())
    MATRIX.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
    PAGE.write_text(page(ordered), encoding="utf-8")
    keys = ",\n".join(f" {json.dumps(cause, ensure_ascii=False)}" for cause in causes(ordered))
    KEY.write_text(f"[\n{keys}\n]\n", encoding="utf-8")


def causes(rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The key of likely causes: what each mutant that was killed is recognised by."""
    threads = {defect.id: f"{defect.id}, {defect.source}" for defect in load_suite("dropout").defects}
    for name, row in rows.items():
        traits = traits_of(Mark(**mark) for mark in row["gate"]["marks"])
        if traits:
            yield {
                "name": name,
                "kind": name.partition(":")[0],
                "says": row["says"],
                "defect": threads.get((row["defects"] or [""])[0], ""),
                "traits": sorted(traits),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    before = json.loads(MATRIX.read_text(encoding="utf-8")) if MATRIX.exists() and not arguments.again else {}
    wanted = arguments.only.split(",") if arguments.only else list(all_mutants())
    rows = {name: row for name, row in before.items() if name in all_mutants()}
    rows = {name: row for name, row in rows.items() if row["source"] == mutation.source(all_mutants()[name])}
    todo = [name for name in wanted if name not in rows or arguments.only]
    if todo and not arguments.only:
        print(f"the reference keeps {reference_keeps_its_promises():,} promises", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        futures = {pool.submit(judge, name): name for name in todo}
        for number, future in enumerate(as_completed(futures), start=1):
            name = futures[future]
            row = rows[name] = future.result()
            laws = ", ".join(families(row["gate"]["marks"])) or "nothing"
            print(f"{number:4d} of {len(todo)}  {name} ({row['op']}): {laws}", flush=True)
            write(rows)
    write(rows)
    killed = [sum(bool(families(row[profile]["marks"])) for row in rows.values()) for profile in PROFILES]
    print(f"{len(rows)} mutants: {killed[0]} killed at quick, {killed[1]} at gate")


if __name__ == "__main__":
    main()
