"""A fair coin, made to go wrong: a fault is a subclass that does something when it is tossed at 0.25."""

import numpy as np


class Fair:
    name, version, device, layout, dtypes = "fault", "1", "thumb", "channels_first", ("float32",)
    says = ""  # why the cases with tosses at 0.25 end in an error; empty where every promise is kept

    def fault(self):
        """What goes wrong."""

    def seed(self, value):
        self.random = np.random.default_rng(value)

    def asarray(self, x, dtype):
        return x.astype(dtype)

    def asnumpy(self, x):
        return x

    def dtype_of(self, x):
        return str(x.dtype)

    def toss(self, number, chance):
        if chance == 0.25:
            self.fault()
        return (self.random.random(number) < chance).astype(np.int64)

    def spin(self, number, chance):
        return (self.random.random(number) < chance).astype(np.int64)
