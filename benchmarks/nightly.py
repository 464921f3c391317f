"""What a night costs: the bare operator's draws over the judged ones, two workers over one, and a year's ledger.

    python benchmarks/nightly.py throughput [--backend mlx] [--seconds 60] [--workers 1]
    python benchmarks/nightly.py year LEDGER --into YEAR.db

`throughput` draws a night of float32 `dropout` with the real command, then calls the bare operator, and compares what a
draw costs in CPU time, everything of the night included, so that the ratio means something on a busy machine. For the
efficiency of two workers, run it with `--workers 1` and `--workers 2`. `year` takes a ledger with
one run in it and makes 365 nights of it: the night's real tallies, which add up, and where each finding stood.
"""

import argparse
import datetime
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from harness.amounts import join, split
from harness.backend import load_backend
from harness.evidence import add
from harness.ledger import APART, Ledger
from specs.bench import Bench
from specs.contracts import CONTRACTS
from specs.inputs import indices

KEEPRATE = str(Path(sys.executable).with_name("keeprate"))
NIGHTS = 365


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    throughput = commands.add_parser("throughput")
    throughput.add_argument("--backend", default="mlx")
    throughput.add_argument("--seconds", type=int, default=60)
    throughput.add_argument("--workers", type=int, default=1)
    throughput.set_defaults(run=lambda given: measure(given.backend, given.seconds, given.workers))
    year = commands.add_parser("year")
    year.add_argument("ledger", type=Path)
    year.add_argument("--into", type=Path, required=True)
    year.set_defaults(run=lambda given: make_year(given.ledger, given.into))
    given = parser.parse_args()
    given.run(given)


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
        f"{backend}, {workers} workers: {draws:,} draws judged in {took:.1f} s and {spent:.1f} s of CPU time; a "
        f"million cost {cost:.4f} s, {bare:.4f} s bare: {bare / cost:.3f} of the bare speed"
    )


def night(backend: str, path: Path, seconds: int, workers: int) -> None:
    command = [KEEPRATE, "nightly", "--backend", backend, "--ops", "dropout", "--dtypes", "float32", "--ledger", path]
    subprocess.run([*command, "--budget", f"{seconds}s", "-n", str(workers)], check=True, stdout=subprocess.DEVNULL)


def cpu_of_children() -> float:
    """Seconds of CPU time of all processes that have ended, those of the workers too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def call(name: str, draws: int) -> float:
    """CPU seconds for a draw of the bare operator: each output is evaluated and forgotten."""
    backend = load_backend(name)
    bench = Bench(backend, CONTRACTS["dropout"], "float32")
    x = bench.native(indices((64, 1024)).astype("float64") + 1)
    bench.raw(bench.call(x, 0.3))
    started = time.process_time()
    for _ in range(-(-draws // x.size)):
        bench.raw(bench.call(x, 0.3))
    return (time.process_time() - started) / draws


def make_year(source: Path, into: Path) -> None:
    """Every night adds what the one night added, so that totals grow as they would."""
    with sqlite3.connect(source) as old, sqlite3.connect(into) as new:
        old.backup(new)
    with Ledger(into, write=True) as ledger, ledger.writing():
        db = ledger.db
        columns = [row[1] for row in db.execute("PRAGMA table_info(run)")]
        (first,) = [dict(zip(columns, row, strict=True)) for row in db.execute("SELECT * FROM run")]
        day = datetime.date.fromisoformat(first["night"]) - datetime.timedelta(NIGHTS - 1)
        for number in range(1, NIGHTS):
            row = first | {"id": first["id"] + number, "key": f"{number:032x}", "first_seed": number << 21}
            row["night"] = (day + datetime.timedelta(number)).isoformat()
            db.execute(f"INSERT INTO run VALUES ({', '.join('?' * len(columns))})", list(row.values()))  # noqa: S608
            if number >= NIGHTS - APART:
                db.execute(
                    "INSERT INTO recent SELECT ?, look, amounts FROM recent WHERE run = ?", (row["id"], first["id"])
                )
            db.execute(
                "INSERT OR REPLACE INTO night SELECT subject, finding, ?, status, n * ?, log10_e, estimate FROM night "
                "WHERE night = ?",
                (row["night"], number, first["night"]),
            )
        db.execute("DELETE FROM recent WHERE run = ?", (first["id"],))
        db.execute("UPDATE run SET night = ? WHERE id = ?", (day.isoformat(), first["id"]))
        for look, form, total in db.execute(
            "SELECT look.id, form.text, total FROM look JOIN form ON form.id = form"
        ).fetchall():
            evidence = join(form, total)
            for _ in range(9):  # 512 times
                evidence = add(evidence, evidence)
            db.execute("UPDATE look SET total = ? WHERE id = ?", (split(evidence)[1], look))
    print(f"{NIGHTS} nights: {into.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
