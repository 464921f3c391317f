"""Backends that go wrong in every case of every operator."""

import os
import time

from fair import Fair


class Everywhere(Fair):
    def toss(self, number, chance):
        self.fault()

    spin = toss


class HangsEverywhere(Everywhere):
    says = "gave no answer within 3.2 s (--case-timeout)"

    def fault(self):
        time.sleep(1000)


class CrashesEverywhere(Everywhere):
    says = "the worker process was ended by SIGABRT"

    def fault(self):
        os.abort()
