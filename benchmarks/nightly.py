"""What a night costs beside the bare operator and what it finds, what a billion draws take, and a year's ledger.

    python benchmarks/nightly.py throughput [--backend mlx] [--seconds 60] [--workers 1]
    python benchmarks/nightly.py efficiency [--backend mlx] [--seconds 60] [--workers 2]
    python benchmarks/nightly.py judging [--backend mlx] [--seconds 60]
    python benchmarks/nightly.py departure [--seconds 60] [--workers 1]
    python benchmarks/nightly.py billion [--backend mlx] [--workers 1]
    python benchmarks/nightly.py year LEDGER --into YEAR.db

All but `year` time `dropout`, in float32. `throughput`, `departure` and `billion` run the real command. `throughput`
draws a night, then calls the bare operator on 64 × 1,024 elements, and compares what a draw costs in CPU time,
everything of the night included, so that the ratio means something on a busy machine. `efficiency` draws a night with
one worker and a night with several, over cases of that shape alone, since draws elsewhere cost more, and compares them
with each other and with the bare operator on as many cores. `judging` draws a night in one process, and says how much
of its time the backend's own calls took, in the shapes and contexts in which the night made them. Both want a machine
that does nothing else. `departure` repeats nights until one finds that masks are drawn with p + 0.0002, beside what the
formula says. `billion` runs the gate's `deep` profile in two dtypes, and says how much memory a worker held at most.
`year` takes a ledger with one run in it, and makes 365 nights of it: tallies of the same shapes, drawn as a faithful
backend draws them, and where each stood.
"""

import argparse
import datetime
import json
import math
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from keeprate.harness.evidence.likelihood import draws_to_detect
from keeprate.harness.evidence.wire import of_json
from keeprate.harness.judging.gate import open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.encoding import join, split
from keeprate.harness.ledger.history import latest
from keeprate.harness.ledger.nightly import draw
from keeprate.harness.ledger.standing import note_night, standing
from keeprate.harness.ledger.store import APART, Ledger, Run, digests
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess
from keeprate.harness.workers.resources import Resources
from keeprate.specs.dropout import caller
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import indices

KEEPRATE = str(Path(sys.executable).with_name("keeprate"))
NIGHTS = 365
LOOKS = 12  # nights of the year that are concluded; those between stand as the one before
OFF = Path(__file__).with_name("off_by_little.py")
RATE = "dropout/keep_rate/float32/p0.1/64x1024/eager"
FIVE_MINUTES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    add(commands, "throughput", measure, backend="mlx", seconds=60, workers=1)
    add(commands, "efficiency", measure_efficiency, backend="mlx", seconds=60, workers=2)
    add(commands, "judging", measure_judging, backend="mlx", seconds=60)
    add(commands, "departure", find_departure, seconds=60, workers=1)
    add(commands, "billion", draw_a_billion, backend="mlx", workers=1)
    year = add(commands, "year", make_year)
    year.add_argument("source", metavar="LEDGER", type=Path)
    year.add_argument("--into", metavar="YEAR.db", type=Path, required=True)
    given = vars(parser.parse_args())
    given.pop("run")(**given)


def add(commands, name: str, run, **defaults: str | int) -> argparse.ArgumentParser:
    """A command that calls `run` with its options."""
    command = commands.add_parser(name)
    for option, default in defaults.items():
        command.add_argument(f"--{option}", type=type(default), default=default)
    command.set_defaults(run=run)
    return command


def measure(backend: str, seconds: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "night.db"
        night(backend, path, 2 * seconds, workers)  # looks at every case once, which is not what a year is made of
        before = cpu_of_children()
        night(backend, path, seconds, workers)
        spent = cpu_of_children() - before
        with Ledger(path) as ledger:
            draws, took = ledger.db.execute("SELECT draws, seconds FROM run ORDER BY id DESC").fetchone()
    cost, bare = 1e6 * spent / draws, 1e6 * call(backend, min(draws, 10**8))
    print(
        f"{backend}, {workers} workers: {draws:,} draws judged in {took:.1f} s ({draws / took / 1e6:.1f} million a "
        f"second) and {spent:.1f} s of CPU time; a "
        f"million cost {cost:.4f} s, {bare:.4f} s bare: {bare / cost:.3f} of the bare speed"
    )


def measure_efficiency(backend: str, seconds: int, workers: int) -> None:
    request = ask(backend, ops=["dropout"], dtypes=["float32"]).alone()
    alike = {
        text: promise
        for text, promise in request.promises.items()
        if {(case.study, case.shape, case.context) for case in promise.cases} == {("masks", (64, 1024), "eager")}
    }
    request, speeds = request.among(alike), []
    for number in (1, workers):
        with (
            tempfile.TemporaryDirectory() as folder,
            Ledger(Path(folder) / "night.db", create=True, write=True) as book,
            open_runner(request, Resources(number)) as runner,
        ):
            started = time.perf_counter()
            draws = draw(request, runner, book, seconds, described()).standing.draws
            speeds.append(draws / (time.perf_counter() - started) / 1e6)
    bare = workers / call(backend, 10**9) / 1e6
    print(
        f"{backend}: {speeds[0]:.1f} million draws a second with one worker, {speeds[1]:.1f} million with {workers}: "
        f"{speeds[1] / speeds[0] / workers:.3f}; the bare operator on as many cores makes {bare:.1f} million: "
        f"{speeds[1] / bare:.3f}"
    )


def measure_judging(backend: str, seconds: int) -> None:
    """Where a night's time goes, once every case was looked at."""
    own, call_backend = 0.0, caller._foreign

    def timed(*arguments):
        nonlocal own
        started = time.perf_counter()
        try:
            return call_backend(*arguments)
        finally:
            own += time.perf_counter() - started

    caller._foreign = timed
    request = ask(backend, ops=["dropout"], dtypes=["float32"])
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "night.db", create=True, write=True) as ledger:
        for budget in (2 * seconds, seconds):
            runner = InProcess(load_backend(backend, request.suite), request.suite, request.names)
            own, started = 0.0, time.perf_counter()
            passes = draw(request, runner, ledger, budget, described()).passes
            took = time.perf_counter() - started
    print(f"{backend}: {own:.1f} of {took:.1f} s, {own / took:.3f}, in its own calls; {passes:,} cases")


def night(backend: str, path: Path, seconds: int, workers: int) -> int:
    """The exit code of the command."""
    command = [KEEPRATE, "nightly", "--backend", backend, "--ops", "dropout", "--dtypes", "float32", "--ledger", path]
    options = ["--budget", f"{seconds}s", "-n", str(workers), "--out", path.with_suffix("")]
    code = subprocess.run([*command, *options], check=False, stdout=subprocess.DEVNULL).returncode
    assert code in (0, 1), code
    return code


def cpu_of_children() -> float:
    """Seconds of CPU time of all processes that have ended, those of the workers too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def call(name: str, draws: int) -> float:
    """CPU seconds for a draw of the bare operator: each output is evaluated and forgotten."""
    backend = load_backend(name, load_suite("dropout"))
    bare = Caller(backend, CONTRACTS["dropout"], "float32")
    x = bare.native(indices((64, 1024)).astype("float64") + 1)
    bare.raw(bare.call(x, 0.3))
    started = time.process_time()
    for _ in range(-(-draws // x.size)):
        bare.raw(bare.call(x, 0.3))
    return (time.process_time() - started) / draws


def find_departure(seconds: int, workers: int) -> None:
    """Nights until the real command calls p + 0.0002 broken, and how many five-minute nights the formula allows."""
    promise = ask("mlx").promises[RATE]
    needed = draws_to_detect((0.9, 0.1), 0.0002, 10 ** -promise.threshold(1e-6))
    print(f"by the formula {needed:,} draws at p = 0.1 show 0.0002 with probability 0.99")
    with tempfile.TemporaryDirectory() as folder:
        path, code, nights = Path(folder) / "night.db", 0, 0
        while not code:
            code, nights = night(str(OFF), path, seconds, workers), nights + 1
            with Ledger(path) as ledger:
                (drawn,) = ledger.db.execute(
                    "SELECT n FROM night JOIN promise ON promise.id = promise WHERE finding = ?", (RATE,)
                ).fetchone()
                total, took = ledger.db.execute("SELECT sum(draws), sum(seconds) FROM run").fetchone()
                broken = ledger.db.execute(
                    "SELECT finding, log10_e FROM night JOIN promise ON promise.id = promise WHERE status = 'broken'"
                ).fetchall()
            five = math.ceil(needed * took / drawn / FIVE_MINUTES)
            found = "; ".join(f"{text} log10 e = {log10_e}" for text, log10_e in broken[:4])
            print(
                f"night {nights} of {seconds} s, {workers} workers: {total:,} draws in {took:.0f} s, {drawn:,} of them "
                f"at p = 0.1: by the formula at most {five} nights of 5 minutes. Broken: {found or 'nothing yet'}",
                flush=True,
            )


def draw_a_billion(backend: str, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verdict.json"
        command = [
            KEEPRATE,
            "gate",
            "--backend",
            backend,
            "--profile",
            "deep",
            "--ops",
            "dropout",
        ]
        options = ["--dtypes", "float32,bfloat16", "-n", str(workers), "--json", path]
        run = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        peaks: dict[int, int] = {}
        while run.poll() is None:
            for process in psutil.Process(run.pid).children(recursive=True):
                peaks[process.pid] = max(peaks.get(process.pid, 0), peak(process.pid))
            time.sleep(0.1)  # between two looks at what the workers hold
        assert run.returncode == 0, run.returncode
        verdict = json.loads(path.read_text(encoding="utf-8"))
    draws = sum(item["n"] for item in verdict["findings"] if item["law"] == verdict["headline"] and item["n"])
    took = verdict["run"]["seconds"]
    print(
        f"{backend}, {workers} workers: {draws:,} draws judged in {took:.0f} s; a worker held "
        f"{max(peaks.values()) / 1024:.0f} MiB at most; at this speed 10^10 draws take "
        f"{took * 1e10 / draws / 60:.0f} minutes"
    )


def peak(pid: int) -> int:
    """KiB that a process held at most, as Linux says it; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def make_year(source: Path, into: Path) -> None:
    """Nights that are independent of one another, as those of a faithful backend are."""
    random = np.random.default_rng()
    with sqlite3.connect(source) as old, sqlite3.connect(into) as new:
        old.backup(new)
    with Ledger(into, write=True) as ledger:
        db, told = ledger.db, latest(ledger, "dropout")
        with ledger.writing():
            runs = add_runs(ledger, digests(told.given.request.plan))
            db.execute("DELETE FROM night")
            db.execute("DELETE FROM recent")
            looks = {
                look: join(form, total)
                for look, form, total in db.execute(
                    "SELECT look.id, text, total FROM look JOIN form ON form.id = form"
                ).fetchall()
            }
            for run in runs[-APART:]:
                db.executemany(
                    "INSERT INTO recent VALUES (?, ?, 1, ?)",
                    [(run.id, look, split(drawn_again(one, 1, random))[1]) for look, one in looks.items()],
                )
        blocks = np.array_split(np.arange(NIGHTS), LOOKS)
        totals = dict.fromkeys(looks)
        for block in blocks:
            for look, one in looks.items():
                more = drawn_again(one, len(block), random)
                totals[look] = more if totals[look] is None else totals[look] + more
            with ledger.writing():
                db.executemany(
                    "UPDATE look SET total = ? WHERE id = ?", [(split(item)[1], look) for look, item in totals.items()]
                )
            verdict = standing(told.given, ledger, told.subjects, told.run).verdict
            for number in block:
                note_night(ledger, runs[number], verdict)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"{NIGHTS} nights: {into.stat().st_size / 1e6:.1f} MB")


def add_runs(ledger: Ledger, counted: dict[str, str]) -> list[Run]:
    """A run for each night, the last today; `counted` is what each promise counts."""
    (first,) = map(dict, ledger.db.execute("SELECT * FROM run"))
    subjects = {"backend": first["backend"], "reference": first["reference"]}
    day, runs = datetime.date.fromisoformat(first["night"]) - datetime.timedelta(NIGHTS - 1), []
    ledger.db.execute("UPDATE run SET night = ?, apart = 0", (day.isoformat(),))
    for number in range(NIGHTS):
        night = (day + datetime.timedelta(number)).isoformat()
        changes = {"id": None, "key": f"{number:032x}", "first_seed": number << 21, "night": night}
        changes["apart"] = int(number >= NIGHTS - APART)
        row = ledger.db.insert("run", **first | changes) if number else first["id"]
        runs.append(Run(row, subjects, number << 21, night, counted, {}))
    return runs


def drawn_again(evidence, nights: int, random):
    """Evidence of the same shape: what so many nights of a backend that keeps its promise would add."""
    data = evidence.to_json()
    if data["type"] == "tally":
        draws = np.array(data["counts"]).sum(axis=1) * nights
        data["counts"] = random.multinomial(draws, evidence.probabilities).tolist()
    elif data["type"] == "check":
        data |= {name: data[name] * nights for name in ("checked", "exact", "wrong")}
    else:
        draws = np.array(evidence.draws) * nights
        kept = random.binomial(draws, np.array(evidence.keep)[:, None])
        sums = (kept * evidence.kept + (draws - kept) * evidence.dropped).sum(axis=1)
        data["draws"] = draws.tolist()
        data["total"] = [round(float(value) * 2**40) for value in sums]
        data["slack"] = [value * nights for value in data["slack"]]
    return of_json(data)


if __name__ == "__main__":
    main()
