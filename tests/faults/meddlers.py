"""Backends that change what they share with the judge: their process."""

import builtins
import contextlib
import gc
import json
import locale
import os
import random
import resource
import signal
import sys
import tempfile
import warnings

import numpy as np
from fair import Fair

NO_ANSWER = "the worker process sent a malformed reply"


def written(text):
    """Into every open file that may be the judge's."""
    for number in range(3, 20):
        try:
            os.write(number, text)
        except OSError:
            continue


class Prints(Fair):
    def fault(self):
        print('{"result": null}\n' * 10**6)
        print("x" * 10**7, file=sys.stderr)
        os.write(1, b"{}\n" * 10**6)


class ClosesWhatItPrintsTo(Fair):
    def fault(self):
        sys.stdout.close()
        os.closerange(0, 3)


class ClosesAllFiles(Fair):
    says = "the worker process exited with code 1"

    def fault(self):
        os.closerange(0, 1000)


class WritesToThePipe(Fair):
    says = NO_ANSWER

    def fault(self):
        written(b"heads\xff\n")


class WritesJsonToThePipe(Fair):
    says = NO_ANSWER

    def fault(self):
        written(b'{"result": {"role": "backend"}}\n')


class WritesAListToThePipe(Fair):
    says = NO_ANSWER

    def fault(self):
        written(b"[" * 10**5 + b"\n")


class AnswersForAnotherCase(Fair):
    says = NO_ANSWER

    def fault(self):
        empty = {"evidence": {}, "unreadable": {}, "not_offered": {}, "error": ""}
        result = {"role": "backend", "case": "spin/throws/float32/p0.5/-/eager", **empty}
        written(json.dumps({"result": result, "lost": "", "held": 0}).encode() + b"\n")


class FloodsThePipe(Fair):
    says = NO_ANSWER

    def fault(self):
        while True:
            written(b"x" * 2**16)


class PatchesNumpy(Fair):
    says = "the backend replaced numpy.flatnonzero, which the judge uses"

    def fault(self):
        np.flatnonzero = lambda x: np.empty(0)


class PatchesTheJudge(Fair):
    says = "the backend replaced keeprate.harness.protocol.engine.decided, which the judge uses"

    def fault(self):
        sys.modules["keeprate.harness.protocol.engine"].decided = lambda evidence, job: False


class PatchesAMethodOfTheJudge(Fair):
    says = "the backend replaced Tally.__add__, which the judge uses"

    def fault(self):
        sys.modules["keeprate.harness.evidence.tally"].Tally.__add__ = lambda one, other: one


class PatchesBuiltins(Fair):
    says = "the backend replaced builtins.sum, which the judge uses"

    def fault(self):
        builtins.sum = lambda *_: 0


class ChangesDirectory(Fair):
    def fault(self):
        os.chdir("/")


class RemovesItsDirectory(Fair):
    def fault(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)


class RefusesInTheJudgesName(Fair):
    says = NO_ANSWER

    def fault(self):
        written(b'{"refused": "heads", "code": 3}\n')


class FailsInTheJudgesName(Fair):
    says = "keeprate itself failed in this case: heads"

    def fault(self):
        written(b'{"fault": "heads"}\n')


class RemovesTheFolderOfTheRun(Fair):
    """Where no other worker can be started from then on, nor any file of the user's found."""

    def fault(self):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(os.getcwd())


class IgnoresSignals(Fair):
    def fault(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGIO, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


class SetsAnAlarm(Fair):
    """That nobody waits for: it ends whatever runs then."""

    says = "the worker process was ended by SIGALRM"

    def fault(self):
        signal.setitimer(signal.ITIMER_REAL, 1e-6)


class EmptiesTheEnvironment(Fair):
    def fault(self):
        os.environ.clear()


class ReseedsGenerators(Fair):
    def fault(self):
        np.random.seed(0)
        random.seed(0)


class TurnsWarningsToErrors(Fair):
    def fault(self):
        warnings.simplefilter("error")
        np.seterr(all="raise")


class DisablesCollection(Fair):
    def fault(self):
        gc.disable()
        gc.freeze()


class Traces(Fair):
    def fault(self):
        sys.setprofile(lambda *_: None)


class ChangesLocale(Fair):
    def fault(self):
        locale.setlocale(locale.LC_ALL, "C")
        os.umask(0o777)


class LimitsRecursion(Fair):
    """To little more than what its own call takes."""

    def fault(self):
        sys.setrecursionlimit(50)


class LimitsFiles(Fair):
    def fault(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class ForgetsModules(Fair):
    def fault(self):
        for name in [name for name in sys.modules if name.startswith(("numpy", "harness", "json"))]:
            del sys.modules[name]
