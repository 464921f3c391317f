"""Backends that give no answer."""

import atexit
import os
import re
import signal
import subprocess
import sys
import threading
import time

from fair import Fair


class Hanging(Fair):
    says = "gave no answer within 3.2 s (--case-timeout)"


class Loops(Hanging):
    def fault(self):
        while True:
            pass


class LoopsWithTheLock(Hanging):
    """No other thread of its process ever runs: a regular expression holds Python's lock."""

    def fault(self):
        re.match(r"(a+)+$", "a" * 60 + "b")


class Deadlocks(Hanging):
    def fault(self):
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


class Sleeps(Hanging):
    def fault(self):
        time.sleep(1000)


class WaitsOnAPipe(Hanging):
    def fault(self):
        os.read(os.pipe()[0], 1)


class WaitsForAnother(Hanging):
    def fault(self):
        subprocess.run(["/bin/sleep", "1000"], check=True)


class IgnoresSignals(Hanging):
    def fault(self):
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass


class StopsItself(Hanging):
    def fault(self):
        os.kill(os.getpid(), signal.SIGSTOP)


class HangsWhenItExits(Hanging):
    def fault(self):
        atexit.register(time.sleep, 1000)
        sys.exit(0)


class ExitsBesideAThread(Hanging):
    """Python waits for the thread."""

    def fault(self):
        threading.Thread(target=time.sleep, args=(1000,)).start()
        sys.exit(0)


class ClosesItsPipeAndHangs(Fair):
    says = "the worker process closed its pipe and went on"

    def fault(self):
        os.closerange(3, 1000)
        time.sleep(1000)


class AsksThePerson(Fair):
    """There is none: its standard input is empty."""

    says = "toss raised EOFError"

    def fault(self):
        input("which side? ")
