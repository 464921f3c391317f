"""Backends that take what memory there is."""

import subprocess
import sys
import time

import numpy as np
from fair import Fair

PAUSE = 0.08  # seconds for each 32 MiB: 400 MiB at most in the second between two looks at what a worker has started
HOARD = f"import time\nkept = []\nwhile True:\n    kept.append(b'x' * 2**25)\n    time.sleep({PAUSE})\n"


class Hoarding(Fair):
    says = "used more than 500 MiB of memory (--memory)"


class Hoards(Hoarding):
    def fault(self):
        kept = []
        while True:
            kept.append(np.ones(1 << 22))
            time.sleep(PAUSE)


class TakesAllAtOnce(Hoarding):
    def fault(self):
        np.ones(1 << 27)
        time.sleep(1000)


class HoardsInAnotherProcess(Hoarding):
    def fault(self):
        subprocess.run([sys.executable, "-c", HOARD], check=True)


class HoardsAsADaemon(Hoarding):
    """Forked twice, in a session of its own: nobody's child."""

    def fault(self):
        program = f"import os\nif os.fork(): os._exit(0)\nos.setsid()\n{HOARD}"
        subprocess.run([sys.executable, "-c", program], check=True)
        time.sleep(1000)


class LeaksALittle(Fair):
    """Which is its own affair."""

    kept = ()

    def fault(self):
        self.kept = (*self.kept, np.ones(1 << 16))
