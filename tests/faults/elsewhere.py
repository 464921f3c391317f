"""Backends of which one operator goes wrong in another process, and only there."""

import os
import sys
import time

from honest import Honest


class Elsewhere(Honest):
    def dropout1d(self, x, p, train):
        if sys.argv[0].endswith("other_process.py"):
            self.fault()
        if x.ndim not in (2, 3):
            raise ValueError(f"dropout1d takes 2 or 3 dimensions, not {x.ndim}")
        return x * self.dropout(x[..., :1] * 0 + 1, p, train)


class CrashesElsewhere(Elsewhere):
    says = "in another process: it ended"

    def fault(self):
        os.abort()


class HangsElsewhere(Elsewhere):
    says = "gave no answer within 5"

    def fault(self):
        time.sleep(1000)


class WritesElsewhere(Elsewhere):
    says = "in another process: it sent a malformed reply"

    def fault(self):
        for number in range(3, 20):
            try:
                os.write(number, b'{"dtype": 7, "bytes": 0}\n')
            except OSError:
                continue
