"""Backends that go wrong while the reference is judged, in the process that they share with it."""

import os
import sys
import threading
import time

import numpy as np
from fair import Fair


class Beside(Fair):
    """Waits in a thread until anyone's coin is thrown."""

    def __init__(self):
        self.meddled = threading.Event()
        threading.Thread(target=self.wait, daemon=True).start()

    def toss(self, number, chance):
        self.meddled.wait(60)  # so that the thread has its turn in every case
        return super().toss(number, chance)

    def spin(self, number, chance):
        self.meddled.wait(60)
        return super().spin(number, chance)

    def wait(self):
        main = threading.main_thread().ident
        while not thrown(sys._current_frames()[main]):
            time.sleep(0.001)
        self.meddle()


def thrown(frame):
    while frame := frame.f_back:
        if frame.f_code.co_name == "thrown":
            return True
    return False


class Crashes(Beside):
    says = "the worker process was ended by SIGABRT"

    def meddle(self):
        os.abort()


class Patches(Beside):
    says = "the backend replaced numpy.flatnonzero, which the judge uses"

    def meddle(self):
        while True:
            np.flatnonzero = lambda x: np.empty(0)
            self.meddled.set()
            time.sleep(0.0001)


class BendsItsCoins(Beside):
    """The reference's, that is, and without a word."""

    says = ""

    def meddle(self):
        (coins,) = (module for name, module in sys.modules.items() if name.endswith("coins.py"))
        coins.Fair.toss = coins.Fair.spin = lambda self, number, chance: np.ones(number, np.int64)
        self.meddled.set()
