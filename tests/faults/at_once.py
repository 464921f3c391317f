"""A backend that meddles while its adapter is looked at, before anything is judged."""

import builtins

from honest import Honest


class MeddlesAtOnce(Honest):
    def dropped(self, x, p):
        builtins.sum = lambda *_: 0
        return super().dropped(x, p)
