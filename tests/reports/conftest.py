"""Documents to show: made of real verdicts of a coin, on one night and over several."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest

from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.nightly import draw
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess

MUTANT = Path(__file__).parents[1] / "mutants" / "correlated.py"
HARNESS = Path(__file__).parent.parent / "harness"
COIN, COINS = str(HARNESS / "coin.py"), str(HARNESS / "coins.py")


def night(path, kind, ago):
    """Some passes of a coin, that many nights ago."""
    request = ask(f"{COINS}:{kind}", suite=COIN, profile="quick")
    backend = find(request.backend, group="keeprate.backends", kind="backend")
    with Ledger(path, create=True) as ledger:
        runner = InProcess(backend, request.suite, request.names)
        draw(request, runner, ledger, 600.0, described(), progress=enough)
        today = ledger.db.execute("SELECT max(night) FROM run").fetchone()[0]
        then = datetime.date.fromisoformat(today) - datetime.timedelta(ago)
        for update in ("UPDATE run SET night = ? WHERE night = ?", "UPDATE night SET night = ? WHERE night = ?"):
            ledger.db.execute(update, (then.isoformat(), today))
    return path


def enough(_, passes):
    """Ends a night after 12 passes, however long they take; its pictures and its verdict are as those of any other."""
    if passes >= 12:
        raise KeyboardInterrupt


@pytest.fixture(scope="session")
def gated(made_once):
    """What the real gate says of a backend that uses each draw for four neighbours."""

    def gate(folder):
        command = [Path(sys.executable).with_name("keeprate"), "gate", "--backend", f"{MUTANT}:FourTogether"]
        options = ["--profile", "quick", "--ops", "dropout", "--dtypes", "float32", "--json", folder / "v.json"]
        assert subprocess.run([*command, *options], capture_output=True, check=False).returncode == 1

    return json.loads((made_once("gated", gate) / "v.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def documents(made_once):
    """By name: a faithful coin over five nights, a bent one that was straight before, and one on its edge."""
    nights = {"faithful": ["Fair"] * 5, "turned": ["Fair", "Fair", "Bent"], "edge": ["OnEdge"]}

    def tossed(folder):
        for name, kinds in nights.items():
            path = folder / f"{name}.db"
            for ago, kind in reversed(list(enumerate(reversed(kinds)))):
                night(path, kind, ago)
            with Ledger(path) as ledger:
                (folder / f"{name}.json").write_text(json.dumps(tell(ledger, COIN)), encoding="utf-8")

    folder = made_once("documents", tossed)
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in nights}
