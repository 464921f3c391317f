"""Backends that can be loaded once: what they take for themselves is taken then."""

import fcntl
import os

from fair import Fair


class TakesALock(Fair):
    """As a device does that serves one process at a time."""

    def __init__(self):
        fcntl.flock(os.open("lock", os.O_CREAT), fcntl.LOCK_EX | fcntl.LOCK_NB)


class LeavesItsLock(Fair):
    """And crashes, so that it can't be loaded again."""

    def __init__(self):
        os.close(os.open("lock", os.O_CREAT | os.O_EXCL))

    def fault(self):
        os.abort()


class RemovesItself(Fair):
    """The file that it is in, and crashes."""

    def fault(self):
        os.remove(__file__)
        os.abort()
