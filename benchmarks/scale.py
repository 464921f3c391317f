"""What one client takes of many workers: results a second into a ledger, and what it holds meanwhile.

`taken` draws nights of the real client, ledger and progress, with simulated workers: one process has each of them take
its time, and answers with what a case of the plan gave before, pickled as Dask does. From night to night they are
faster, so that results come at growing rates, until the client falls behind; at last they take no time at all.
`cluster` draws nights on a real Dask cluster on loopback, with one, two and eight workers, which share this machine's
cores, and `at_once` a night on one that answers as `taken` does, in no time. The basis is the CPU time of the client's
process, whatever else the machine does meanwhile.
"""

import argparse
import heapq
import itertools
import multiprocessing
import os
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import psutil
from distributed import get_worker
from nightly import RATE, drawn_again
from rich.progress import TextColumn

from keeprate.harness.commands.console import progress
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.evidence.wire import of_json
from keeprate.harness.judging.gate import open_runner
from keeprate.harness.judging.request import ALPHA, Request, ask
from keeprate.harness.ledger.nightly import Offers, draw
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.description import AdapterCheck
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.runner import Runner
from keeprate.harness.workers import cluster as workers
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess, all_of, run_ahead

VARIANTS = 4  # answers to each job, one after another
CALM = 64  # how many draws an answer is the mean of: it is taken again and again, as if it were new
SHARE = 23  # one draw in so many of a gate of mlx is of `dropout` in float32, by docs/guarantees.md
HEAD = struct.Struct("<q")  # before an answer: its passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    taken = commands.add_parser("taken")
    taken.add_argument("--rates", type=numbers, default=(500, 1000, 2000, 4000, 0), help="offered; 0: all at once")
    taken.add_argument("--workers", type=int, default=1000)
    taken.set_defaults(run=measure_taken)
    cluster = commands.add_parser("cluster")
    cluster.add_argument("--workers", type=numbers, default=(1, 2, 8))
    cluster.set_defaults(run=measure_cluster)
    at_once = commands.add_parser("at_once")
    at_once.add_argument("--threads", type=int, default=100, help="of each of two Dask workers")
    at_once.set_defaults(run=measure_at_once)
    worth = commands.add_parser("worth")
    worth.add_argument("--workers", type=int, default=1000)
    worth.add_argument("--hours", type=float, default=8)
    worth.add_argument("--draws", type=float, default=1.3e6, help="a second of one worker, of `dropout` at p = 0.1")
    worth.set_defaults(run=tell_worth)
    for command in (taken, cluster, at_once):
        command.add_argument("--ops", help="operators; all unless given")
        command.add_argument("--dtypes", help="dtypes; all unless given")
        command.add_argument("--seconds", type=float, default=20, help="of a night")
    given = vars(parser.parse_args())
    given.pop("run")(**given)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def measure_taken(rates: tuple[int, ...], workers: int, seconds: float, **choice: str | None) -> None:
    request = ask("numpy", profile="quick", **choice)
    offers, answers = answered(request)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "night.db", create=True) as ledger, screen():
        for number, rate in enumerate((0, *rates)):  # the first night looks at every case, and isn't told
            with closing(Simulated(offers, answers, workers, workers / rate if rate else 0.0)) as simulated:
                told = night(request, simulated, ledger, seconds)
            if number:
                print(f"offered {f'{rate:,} a second' if rate else 'at once'}: {told}", flush=True)


def measure_cluster(workers: tuple[int, ...], seconds: float, **choice: str | None) -> None:
    for count in workers:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{count} workers: {cluster_night(Path(folder), count, 1, seconds, choice)}", flush=True)


def measure_at_once(threads: int, seconds: float, **choice: str | None) -> None:
    _, answers = answered(ask("numpy", profile="quick", **choice))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers"
        path.write_bytes(pickle.dumps({key: variants[0] for key, variants in answers.items()}))
        workers._run = partial(stored, str(path))  # what a Dask worker calls: it has no child then
        told = cluster_night(Path(folder), 2, threads, seconds, choice)
    print(f"two workers of {threads} threads that answer at once: {told}")


def cluster_night(folder: Path, count: int, threads: int, seconds: float, choice: dict[str, str | None]) -> str:
    with cluster(folder, count, threads) as (address, scheduler):
        request = ask("numpy", profile="quick", executor=f"dask://{address}", memory="2G", **choice)
        with Ledger(folder / "night.db", create=True) as ledger, open_runner(request) as runner, screen():
            before = sum(scheduler.cpu_times()[:2])
            told = night(request, runner, ledger, seconds)
            spent = sum(scheduler.cpu_times()[:2]) - before
            cases, draws = ledger.db.execute("SELECT cases, draws FROM run").fetchone()
    return f"{told}; the scheduler took {spent:.1f} s; {cases:,} passes, {draws:,} draws"


def stored(path: str, setup: dict[str, Any], job: Job) -> Result:
    """In a Dask worker: what such a case gave before."""
    here = get_worker()
    if not hasattr(here, "answers"):
        here.answers = pickle.loads(Path(path).read_bytes())  # noqa: S301 - our own
    result: Result = pickle.loads(here.answers[job.role, job.case.id])  # noqa: S301 - the same
    return result.replace(passes=job.passes, seconds=job.passes * result.seconds)


def answered(request: Request) -> tuple[Offers, dict[tuple[str, str], list[bytes]]]:
    """What is offered, and answers to each job of the plan, by role and case."""
    backend = InProcess(load_backend("numpy", request.suite), request.suite, request.names)
    offers, random = backend.offers(), np.random.default_rng()
    found = list(backend.map(request.given(*offers).jobs()))
    answers = {(one.role, one.case): [packed(one, random) for _ in range(VARIANTS)] for one in found}
    sizes = [len(variants[0]) / 1e3 for variants in answers.values()]
    print(
        f"{len(found):,} cases, of {np.mean([len(one.evidence) for one in found]):.1f} findings and "
        f"{np.mean(sizes):.1f} kB on average, {max(sizes):.1f} kB at most"
    )
    return offers, answers


def tell_worth(workers: int, hours: float, draws: float) -> None:
    alpha = 10 ** -ask("mlx").promises[RATE].threshold(ALPHA)
    for what, part in (("dropout in float32 alone", 1), ("every operator and dtype of mlx", SHARE)):
        n = round(workers * hours * 3600 * draws / part)
        tally = Tally(("kept", "dropped"), (n - n // 10, n // 10), (0.9, 0.1), departure="rate")
        print(f"{what}: {n:.1e} draws at p = 0.1, a keep rate off by {tally.detectable(alpha):.1e} is caught")


def night(request: Request, runner: Runner, ledger: Ledger, seconds: float) -> str:
    """Draws one night; says what the client took, from the first result to the last."""
    looks: list[tuple[float, float, int]] = []  # wall time, CPU time, results so far: the first and the last

    def look(gone: float, passes: int) -> None:
        bar.update(task, completed=gone, passes=passes)
        looks[1:] = [(time.perf_counter(), time.process_time(), counting.results)]

    counting = Counting(runner)

    with progress(TextColumn("{task.fields[passes]} cases")) as bar:
        task = bar.add_task("drawing", total=seconds, passes=0)
        drawn = draw(request, counting, ledger, seconds, described(), progress=look)
    assert drawn.failure is None, drawn.failure
    wall, cpu, results = (late - early for early, late in zip(looks[0], looks[-1], strict=True))
    return (
        f"{results / wall:,.0f} results a second, {1e3 * cpu / results:.3f} ms of CPU time each: "
        f"{results / cpu:,.0f} a CPU second, each of {counting.findings / counting.results:.1f} findings; "
        f"memory {psutil.Process().memory_info().rss >> 20:,} MiB"
    )


class Counting:
    """The same runner, with the number of its results, and of their findings."""

    def __init__(self, runner: Runner) -> None:
        self.isolated, self.count, self.results, self.findings = runner.isolated, runner.count, 0, 0
        self.offers, self.check, self.picture, self._runner = runner.offers, runner.check, runner.picture, runner

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        for result in self._runner.map(jobs):
            self.results += 1
            self.findings += len(result.evidence)
            yield result


@contextmanager
def screen() -> Iterator[None]:
    """A terminal in the place of the standard error, so that progress is shown; nobody looks at it."""
    ours, theirs = os.openpty()

    def read() -> None:
        with suppress(OSError):  # how the end of a terminal is told
            while os.read(ours, 4096):
                pass

    threading.Thread(target=read, daemon=True).start()
    with open(theirs, "w", encoding="utf-8") as terminal, redirect_stderr(terminal):
        yield


def packed(result: Result, random: np.random.Generator) -> bytes:
    """What a faithful backend might have given in the place of `result`, as it comes off the wire."""
    found = {}
    for text, evidence in result.evidence.items():
        data = drawn_again(evidence, CALM, random).to_json()
        found[text] = of_json(data | {name: divided(data[name]) for name in evidence.amounts})
    return pickle.dumps(result.replace(evidence=found))


def divided(amounts: Any) -> Any:
    return [divided(one) for one in amounts] if isinstance(amounts, list) else (amounts + CALM // 2) // CALM


class Simulated:
    """So many workers, which take so many seconds for a job each, in a process of their own."""

    isolated = True

    def __init__(self, offers: Offers, answers: dict[tuple[str, str], list[bytes]], count: int, seconds: float) -> None:
        self.count, self._offers = count, offers
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=simulate, args=(theirs, answers, count, seconds), daemon=True)
        self._process.start()
        theirs.close()

    def offers(self) -> Offers:
        return self._offers

    def check(self) -> list[AdapterCheck]:
        return []

    def picture(self, job: Job) -> None:
        return None

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        done: SimpleQueue[Result] = SimpleQueue()

        def receive() -> None:
            with suppress(EOFError, OSError):
                while data := memoryview(self._pipe.recv_bytes()):
                    (passes,) = HEAD.unpack_from(data)
                    result = pickle.loads(data[HEAD.size :])  # noqa: S301 - from our own process
                    done.put(result.replace(passes=passes, seconds=passes * result.seconds))

        def start(more: list[Job]) -> None:
            for job in more:
                self._pipe.send((job.role, job.case.id, job.passes))

        threading.Thread(target=receive, daemon=True).start()
        return run_ahead(jobs, self.count, start, lambda: all_of(done))

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def simulate(pipe: Connection, answers: dict[tuple[str, str], list[bytes]], count: int, seconds: float) -> None:
    """The process of the workers: a job waits for the one that is free first, and takes its time there."""
    free = [time.monotonic() + seconds * number / count for number in range(count)]
    running: list[tuple[float, int, bytes]] = []
    order = itertools.count()
    while True:
        now = time.monotonic()
        if running and running[0][0] <= now:
            pipe.send_bytes(heapq.heappop(running)[2])
        elif pipe.poll(running[0][0] - now if running else None):
            role, case, passes = pipe.recv()
            number, ends = next(order), max(now, free[0]) + seconds
            heapq.heapreplace(free, ends)
            heapq.heappush(running, (ends, number, HEAD.pack(passes) + answers[role, case][number % VARIANTS]))


@contextmanager
def cluster(folder: Path, count: int, threads: int) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a scheduler with so many workers, and its process."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, ready: str, *options: str) -> str:
        log = folder / f"{len(started)}.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", "--no-dashboard", *options]
            started.append(subprocess.Popen(command, cwd=folder, stdout=file, stderr=file))
        while not (found := re.search(ready, log.read_text(encoding="utf-8"))):
            assert started[-1].poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)  # between two looks at its log
        return found[1]

    try:
        address = start("scheduler", r"Scheduler at: +tcp://([\d.]+:\d+)", "--host", "127.0.0.1", "--port", "0")
        for _ in range(count):
            start("worker", "(Registered to)", f"tcp://{address}", "--nthreads", str(threads), "--no-nanny")
        yield address, psutil.Process(started[0].pid)
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
