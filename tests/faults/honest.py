"""Dropout in NumPy that keeps its promises, to be made to lie: a liar is a subclass that overrides a hook."""

import numpy as np


class Honest:
    name, version, device, layout, dtypes = "liar", "1", "cpu", "channels_first", ("float32",)
    found = ()  # the laws that find it; empty where none can

    def __init__(self):
        self.seed(None)

    def seed(self, value):
        self.random = np.random.Generator(np.random.SFC64(value))

    def asarray(self, x, dtype):
        return np.array(x, dtype, order="K")

    def asnumpy(self, x):
        return x

    def dtype_of(self, x):
        return str(x.dtype)

    def dropout(self, x, p, train):
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a probability")
        if not train or p == 0:
            return x.copy()
        if p < 1 and x.dtype.kind != "f":
            raise TypeError(f"{x.dtype} is no floating type")
        return self.dropped(x, p)

    def dropped(self, x, p):
        scale = np.float32(1 / (1 - p) if p < 1 else 0)
        return np.asarray(x * ((self.random.random(x.shape) >= p) * scale))
