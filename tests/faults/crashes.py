"""Backends that take their process down, or try to."""

import ctypes
import os
import signal
import sys
import threading

import numpy as np
from fair import Fair


class Segfault(Fair):
    says = "the worker process was ended by SIGSEGV"

    def fault(self):
        ctypes.string_at(0)


class Abort(Fair):
    says = "the worker process was ended by SIGABRT"

    def fault(self):
        os.abort()


class ExitsAsIfAllWereWell(Fair):
    says = "the worker process exited with code 0"

    def fault(self):
        os._exit(0)


class SystemExits(Fair):
    says = "the worker process exited with code 4"

    def fault(self):
        raise SystemExit(4)


class ExitsInAThread(Fair):
    """That ends the thread alone."""

    def fault(self):
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()


class EndsTheProcessInAThread(Fair):
    says = "the worker process exited with code 5"

    def fault(self):
        thread = threading.Thread(target=os._exit, args=(5,))
        thread.start()
        thread.join()


class CallsItself(Fair):
    says = "toss raised RecursionError"

    def fault(self):
        self.fault()


class StackOverflow(Fair):
    says = "the worker process was ended by SIGSEGV"

    def fault(self):
        sys.setrecursionlimit(10**9)
        callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: callback())
        callback()


class Interrupts(Fair):
    says = "the worker process was ended by SIGINT"

    def fault(self):
        raise KeyboardInterrupt


class RaisesWhatNobodyCatches(Fair):
    says = "the worker process exited with code 1"

    def fault(self):
        raise GeneratorExit


class KillsItself(Fair):
    says = "the worker process was ended by SIGKILL"

    def fault(self):
        os.kill(os.getpid(), signal.SIGKILL)


class EndsByASignalWithoutAName(Fair):
    says = f"the worker process was ended by signal {signal.SIGRTMIN + 3}"

    def fault(self):
        os.kill(os.getpid(), signal.SIGRTMIN + 3)


class OutOfMemory(Fair):
    says = "toss raised"  # NumPy's own MemoryError has a private name

    def fault(self):
        np.ones(1 << 58)


class RaisesMemoryError(Fair):
    says = "toss raised MemoryError"

    def fault(self):
        raise MemoryError


class CannotSayWhatIsWrong(Fair):
    """Its error raises another one when it is shown."""

    says = "keeprate itself failed in this case: ZeroDivisionError: division by zero (crashes.py"

    class Error(Exception):
        def __str__(self):
            return str(1 / 0)

    def fault(self):
        raise self.Error


class SaysWhatCannotBeWritten(Fair):
    """Half a character, and a command to the terminal."""

    says = "toss raised ValueError"

    def fault(self):
        raise ValueError("\ud800\x1b[31m")
