"""Backends that meddle while their adapter is looked at, before anything is judged."""

import builtins
import json
import os

from honest import Honest


class MeddlesAtOnce(Honest):
    def dropped(self, x, p):
        builtins.sum = lambda *_: 0
        return super().dropped(x, p)


class AnswersAtOnce(Honest):
    """In the judge's name: what it looked at, and what it found."""

    def __init__(self):
        super().__init__()
        self.checks = None

    def dropped(self, x, p):
        for number in range(3, 20):
            try:
                os.write(number, json.dumps({"checks": self.checks}).encode() + b"\n")
            except OSError:
                continue
        return super().dropped(x, p)


class AnswersNumbersAtOnce(AnswersAtOnce):
    def __init__(self):
        super().__init__()
        self.checks = [{"what": 1, "wrong": 2, "skipped": 3, "law": 4}]
