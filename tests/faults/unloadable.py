"""Backends that go wrong while they are loaded; `says` is why there is no verdict."""

import os
import sys

import numpy as np
from fair import Fair


class ExitsAtOnce(Fair):
    says = "can't be loaded: it exits, SystemExit: 0"

    def __init__(self):
        sys.exit(0)


class HangsAtOnce(Fair):
    says = "can't be loaded: gave no answer within 3 s (--case-timeout)"

    def __init__(self):
        while True:
            pass


class CrashesAtOnce(Fair):
    says = "can't be loaded: the worker process was ended by SIGABRT"

    def __init__(self):
        os.abort()


class PatchesAtOnce(Fair):
    says = "loading it replaced numpy.flatnonzero, which the judge uses"

    def __init__(self):
        np.flatnonzero = lambda x: np.empty(0)


class WritesAtOnce(Fair):
    says = "can't be loaded: the worker process sent a malformed reply"

    def __init__(self):
        for number in range(3, 20):
            try:
                os.write(number, b'{"offer": 7}\n')
            except OSError:
                continue


class RaisesWhenAsked(Fair):
    says = "its dtypes raised ZeroDivisionError: division by zero"

    @property
    def dtypes(self):
        return (1 / 0,)


class RaisesWhenAskedForItsVersion(Fair):
    says = "its version raised ZeroDivisionError: division by zero"

    @property
    def version(self):
        return 1 / 0
