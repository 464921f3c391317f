"""Coins to be judged by coin.py; an operator throws a number of times and gives 1 for heads."""

import json
import os
import random
import threading

import numpy as np
import psutil

from keeprate.harness.workers.process_tree import MARK


class Fair:
    name, version, device, layout, dtypes = "coin", "1", "thumb", "channels_first", ("float32",)
    chance_too_much = 0.0

    def seed(self, value):
        self.random = np.random.default_rng(value)

    def asarray(self, x, dtype):
        return x.astype(dtype)

    def asnumpy(self, x):
        return x

    def dtype_of(self, x):
        return str(x.dtype)

    def toss(self, number, chance):
        return (self.random.random(number) < chance + self.chance_too_much).astype(np.int64)

    def spin(self, number, chance):
        return (self.random.random(number) < chance).astype(np.int64)


class Bent(Fair):
    """Its tosses are bent, its spins are not."""

    chance_too_much = 0.05


class AllBent(Bent):
    """Its spins are bent as well."""

    def spin(self, number, chance):
        return self.toss(number, chance)


class BentAtAQuarter(Fair):
    """Its tosses are bent where they are to fall on heads once in four times."""

    def toss(self, number, chance):
        return super().toss(number, chance + 0.05 * (chance == 0.25))


class OnEdge(Fair):
    """Its tosses end on the edge now and then."""

    def toss(self, number, chance):
        sides = super().toss(number, chance)
        sides[7] = 2
        return sides


class Raising(Fair):
    """Its tosses raise."""

    def toss(self, number, chance):
        raise KeyError("heads")


class TossOnly(Fair):
    spin = None


class Crashing(Fair):
    """Takes its process down when it is tossed at 0.25."""

    def toss(self, number, chance):
        if chance == 0.25:
            os._exit(9)
        return super().toss(number, chance)


class CrashingAndBent(Crashing):
    """Its spins are bent as well."""

    def spin(self, number, chance):
        return super().spin(number, chance + 0.05)


class Talking(Fair):
    """Prints on every occasion, past Python's own standard output too."""

    def seed(self, value):
        super().seed(value)
        print('{"offer": null}')
        os.write(1, b"not JSON\n")


class Witnessed(Fair):
    """Notes, outside of the ledger, each job that begins, and each time that its case was gone through."""

    def seed(self, value):
        super().seed(value)
        self.thrown = 0
        self.note("begins")

    def toss(self, number, chance):
        return self.witnessed("toss", chance, super().toss(number, chance))

    def spin(self, number, chance):
        return self.witnessed("spin", chance, super().spin(number, chance))

    def witnessed(self, op, chance, sides):
        self.thrown += 1
        if self.thrown % 20 == 0:  # the case is through
            self.note(f"{op} {chance}")
        return sides

    def note(self, line):
        with open("thrown", "a", encoding="utf-8") as notes:
            notes.write(line + "\n")


class Gathering(Fair):
    """Leaves a thread behind for each case, and notes its process and how many threads that has."""

    def seed(self, value):
        super().seed(value)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        with open("gathered", "a", encoding="utf-8") as notes:
            notes.write(f"{os.getpid()} {threading.active_count()}\n")


class Telling(Fair):
    """Notes where it was loaded, and what it draws there from generators that nobody has seeded."""

    def __init__(self):
        process = psutil.Process()
        told = {
            "process": process.pid,
            "session": os.getsid(0),
            "name": process.name(),
            "marks": [process.environ()[MARK], os.environ[MARK]],
            "threads": process.num_threads(),
            "draws": [random.random(), np.random.random()],
        }
        with open("told", "a", encoding="utf-8") as notes:
            notes.write(json.dumps(told) + "\n")


class SlightlyBent(Fair):
    """Falls on heads exactly so often that it is five standard errors off after 200,000 throws, whatever is thrown."""

    def toss(self, number, chance):
        heads = round(number * (chance + 5 * (chance * (1 - chance) / 200_000) ** 0.5))
        return np.arange(number) < heads

    spin = toss


class WornOut(Fair):
    """Raises when it is spun at 0.25 after it was spun at 0.5."""

    spun = False

    def spin(self, number, chance):
        if chance == 0.25 and WornOut.spun:
            raise OverflowError("worn out")
        WornOut.spun |= chance == 0.5
        return super().spin(number, chance)


class Dizzy(Fair):
    """Raises when it is spun after it was tossed."""

    tossed = False

    def toss(self, number, chance):
        Dizzy.tossed = True
        return super().toss(number, chance)

    def spin(self, number, chance):
        if Dizzy.tossed:
            raise OverflowError("dizzy")
        return super().spin(number, chance)
