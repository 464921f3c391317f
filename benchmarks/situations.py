"""Ten situations of a ledger, made by the real commands: pages for somebody who reads them with fresh eyes.

Each is some nights of a backend in a file of its own, which changes between them as a developer's would. A night takes
its `--budget`; dates are set back afterwards, a day for each night, so that the last one is today's.
"""

import argparse
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

KEEPRATE = Path(sys.executable).with_name("keeprate")
ADAPTER = '''"""NumPy's dropout, as somebody maintains it."""

import numpy as np

from keeprate.impl.backends import numpy as plain
from keeprate.impl.backends.numpy import *

name, version = "mine", "{version}"


def dropout(x, p, train):
    """Drop entries."""
    if not (train and 0 < p < 1):
        return plain.dropout(x, p, train)
    _, kept = plain._drawn(x, x.shape, {rate}, train)
    return np.where(kept, x * x.dtype.type(1 / (1 - float(p))), x.dtype.type(0))
'''
FINE, HIGH, AT_ONE = "p", "min(1.0, p + 0.02)", "0.32 if p == 0.3 else p"  # how often it drops
OPTIONS = ["--ops", "dropout,alpha_dropout", "--dtypes", "float32,float16", "--profile", "quick"]


class Ledger:
    """A backend and its ledger, in a folder."""

    def __init__(self, folder, budget):
        self.folder, self.budget = folder, budget
        folder.mkdir(parents=True)

    def night(self, rate=FINE, version="1.0", *options, db="night.db", days=1, command="nightly"):
        """One more night, or gate, of a backend that drops at a `rate`; whatever there was is so many days older."""
        path = self.folder / db
        if path.exists():
            dated(path, days)
        (self.folder / "mine.py").write_text(ADAPTER.format(version=version, rate=rate), encoding="utf-8")
        how = ["--budget", self.budget, "--out", "report"] if command == "nightly" else []
        words = [command, "--backend", "mine.py", "--ledger", db, *(options or OPTIONS), *how]
        return self.said(*words)

    def said(self, *words):
        """What a command says, kept in a file."""
        done = subprocess.run(
            [KEEPRATE, *words], cwd=self.folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        text = f"$ keeprate {' '.join(map(str, words))}\n{done.stdout}{done.stderr}[{done.returncode}]\n"
        with (self.folder / "terminal.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def dated(path, days, only_last=False):
    """Sets the dates of a ledger back, by so many days."""
    with closing(sqlite3.connect(path)) as db, db:
        first = "SELECT max(night) FROM run" if only_last else "SELECT ''"
        (since,) = db.execute(first).fetchone()
        for change in ("UPDATE night SET night = date(night, ?)", "UPDATE run SET night = date(night, ?)"):
            db.execute(f"{change} WHERE night >= ?", (f"{-days} days", since))


def first_night(at):
    """The first night of a ledger."""
    at.night()


def all_well(at):
    """The third night, and all is well."""
    for _ in range(3):
        at.night()


def one_fault(at):
    """A fault at one p, that comes on the third night of one version."""
    at.night(), at.night(), at.night(AT_ONE)


def new_in_a_version(at):
    """A fault that is new in a version."""
    at.night(), at.night(), at.night(HIGH, "1.1")


def mended(at):
    """A fault that is mended."""
    at.night(HIGH), at.night(HIGH), at.night(FINE, "1.1")


def clock(at):
    """A clock that was a year ahead for one night."""
    at.night(), at.night()
    dated(at.folder / "night.db", -365, only_last=True)
    at.night()


def half(at):
    """Half of the promises wait."""
    at.night(FINE, "1.0", "--profile", "quick", "--ops", "dropout,dropout1d,dropout2d,alpha_dropout")


def two_profiles(at):
    """Nights of one profile and a gate of another."""
    at.night(FINE, "1.0", "--profile", "gate", *OPTIONS[:4])
    at.night(FINE, "1.0", "--profile", "gate", *OPTIONS[:4])
    at.night(command="gate", days=0)
    at.said("report", "--ledger", "night.db", "--out", "report")


def merged(at):
    """A merged ledger of three machines."""
    for db in ("a.db", "b.db", "c.db"):
        at.night(db=db)
        at.night(HIGH if db == "c.db" else FINE, db=db)
    at.said("merge", "a.db", "b.db", "c.db", "--into", "night.db")
    at.said("report", "--ledger", "night.db", "--out", "report")


def known(at):
    """A list of known deviations in use."""
    at.night(HIGH)
    at.said("gate", "--backend", "mine.py", "--write-known", "mine.known", *OPTIONS)
    at.night(HIGH)


SITUATIONS = [first_night, all_well, one_fault, new_in_a_version, mended, clock, half, two_profiles, merged, known]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--budget", default="20s", help="of each night")
    parser.add_argument("--only", help="some of " + ", ".join(one.__name__ for one in SITUATIONS))
    given = parser.parse_args()
    for one in SITUATIONS:
        if not given.only or one.__name__ in given.only.split(","):
            one(Ledger(given.out / one.__name__, given.budget))
            print(f"{given.out / one.__name__ / 'report' / 'index.html'}: {one.__doc__}", flush=True)


if __name__ == "__main__":
    main()
