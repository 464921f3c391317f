"""A gate on a Dask cluster: a real scheduler and real workers on loopback, one of them killed in the middle."""

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, digests
from keeprate.harness.workers.cluster import Cluster, _limits
from keeprate.harness.workers.limits import limits
from keeprate.harness.workers.resources import Resources

pytest.importorskip("distributed", reason="the extra `dask` is not installed")

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
CONSOLE_SCRIPT = str(Path(sys.executable).with_name("keeprate"))


class LocalCluster:
    """Dask's own commands, started as a person would."""

    def __init__(self, folder, number):
        self._folder = folder
        options = "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        self.scheduler, said = self._start("scheduler", r"Scheduler at: +tcp://([\d.]+:\d+)", *options)
        self.address = said[1]
        options = (
            f"tcp://{self.address}",
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            "--local-directory",
            folder,
        )
        self.workers = [self._start(f"worker {count}", "Registered to", *options)[0] for count in range(number)]

    def _start(self, name, ready, *options):
        log = self._folder / f"{name}.log"
        command = [sys.executable, "-m", f"distributed.cli.dask_{name.partition(' ')[0]}", *options]
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=self._folder, stderr=file, stdout=file)
        deadline = time.monotonic() + 60
        while not (found := re.search(ready, log.read_text())):
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()
            time.sleep(0.05)
        return process, found

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    started = LocalCluster(tmp_path, 2)
    yield started
    started.close()


def totals(path):
    """Everything that adds, by case and finding, and what the runs say."""
    counted = digests(ask(f"{COINS}:Fair", suite=COIN, profile="quick").plan)
    with Ledger(path) as ledger:
        found = {case: result.to_json() for case, result in Held(ledger, 1, counted).results().items()}
        return found, [tuple(row) for row in ledger.db.execute("SELECT kind, cases, draws, errors FROM run")]


def gate(kind, seed, *options):
    words = ["gate", "--backend", f"{COINS}:{kind}", "--suite", COIN, "--profile", "quick", "--seed", seed]
    return [*words, *options]


def without_run(data):
    return {key: value for key, value in data.items() if key != "run"}


@pytest.mark.parametrize("kind", ["Fair", "Crashing"])
def test_a_cluster_gives_what_one_process_gives(keeprate, cluster, tmp_path, verdict, fresh_seed, kind):
    near = keeprate(*gate(kind, fresh_seed, "--ledger", "near.db", "--json", "near.json", "-n", "1"))
    where = ["--executor", f"dask://{cluster.address}"]
    far = keeprate(*gate(kind, fresh_seed, "--ledger", "far.db", "--json", "far.json", *where))
    assert far.code == near.code == (kind == "Crashing"), far.out + far.err
    assert without_run(verdict(tmp_path / "far.json")) == without_run(verdict(tmp_path / "near.json"))
    assert totals(tmp_path / "far.db") == totals(tmp_path / "near.db")
    assert all(worker.poll() is None for worker in cluster.workers)  # a crash of the backend ends no worker


SLOW = """
import importlib.util, time
spec = importlib.util.spec_from_file_location("coins", {coins!r})
coins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coins)

class Slow(coins.Fair):
    def toss(self, number, chance):
        time.sleep(0.1)
        return super().toss(number, chance)

    def spin(self, number, chance):
        time.sleep(0.1)
        return super().spin(number, chance)
"""


def test_a_worker_that_is_killed_in_the_middle_changes_no_total(process, keeprate, cluster, tmp_path, fresh_seed):
    (tmp_path / "slow.py").write_text(SLOW.format(coins=COINS), encoding="utf-8")
    words = ["gate", "--backend", "slow.py:Slow", "--suite", COIN, "--profile", "quick", "--seed", fresh_seed]
    assert keeprate(*words, "--ledger", "near.db", "-n", "2").code == 0
    killed = threading.Event()

    def kill():
        """Waits until the worker's own child judges, so that a case is lost with it."""
        while not psutil.Process(cluster.workers[0].pid).children():
            time.sleep(0.05)
        time.sleep(1.5)  # it has been loaded; a case takes two seconds
        cluster.workers[0].send_signal(signal.SIGKILL)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    far = keeprate(*words, "--ledger", "far.db", "--executor", f"dask://{cluster.address}")
    assert killed.is_set()
    assert far.code == 0, far.out + far.err
    assert totals(tmp_path / "far.db") == totals(tmp_path / "near.db")


def test_an_interrupt_leaves_the_cluster_without_children(cluster, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW.format(coins=COINS), encoding="utf-8")
    words = ["gate", "--backend", "slow.py:Slow", "--suite", COIN, "--executor", f"dask://{cluster.address}"]
    run = subprocess.Popen([CONSOLE_SCRIPT, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        while run.poll() is None and not children(cluster):
            time.sleep(0.05)
        time.sleep(1.5)  # they have been loaded
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, said.lstrip()) == (130, "error: interrupted; nothing was concluded\n")
    assert children(cluster) == []


def children(cluster):
    return [child for worker in cluster.workers for child in psutil.Process(worker.pid).children()]


@pytest.mark.parametrize("asked", [(None, None), (7.0, "512M")])
def test_a_worker_shares_out_the_memory_of_its_own_machine(cluster, asked):
    """Two Dask workers of one thread are on this machine; whoever asks has no say in how much there is."""
    resources = Resources(None, f"dask://{cluster.address}", *asked)
    with closing(Cluster("nobody", COIN, (), resources)) as far:
        assert far._client.submit(_limits, far._setup).result() == limits(2, resources)


def test_a_night_on_a_cluster_adds_to_the_ledger(keeprate, cluster, tmp_path):
    words = ["nightly", "--backend", f"{COINS}:Fair", "--suite", COIN, "--profile", "quick", "--ledger", "n.db"]
    run = keeprate(*words, "--budget", "2s", "--executor", f"dask://{cluster.address}")
    assert run.code == 0, run.out + run.err
    found, [(kind, cases, _, errors)] = totals(tmp_path / "n.db")
    assert (kind, errors) == ("nightly", 0)
    assert sum(result["passes"] for result in found.values()) == cases >= len(found) == 4


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        ("cloud", "executor 'cloud' is neither local nor dask://HOST:PORT"),
        ("dask://", "executor 'dask://' is neither local nor dask://HOST:PORT"),
        ("dask://127.0.0.1:1", "no Dask scheduler answers at dask://127.0.0.1:1 within 10 s"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused(keeprate, executor, words):
    run = keeprate(*gate("Fair", 1, "--executor", executor))
    assert run.code == 2
    assert words in " ".join(run.err.split())
    assert "Traceback" not in run.err
