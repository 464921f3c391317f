"""Entries are dropped too often, too rarely, or not as often in one call as in the next."""

import numpy as np
from plain import Plain, rounded


class OffByTwoThousandths(Plain):
    """Drops with p + 0.002, which `quick` does not promise to see. E7."""

    meant_for = "keep_rate"
    cause = "rate:offset"
    ops = ("dropout",)
    profile = "gate"

    def draw(self, shape, p):
        return super().draw(shape, min(1, p + 0.002))


class HalfTheRange(Plain):
    """Numbers reach from 0 to 1/2, so that twice as many entries are dropped. No row: a stranger's fault."""

    meant_for = ("keep_rate", "concurrency")
    cause = "rate:double"
    ops = ("dropout2d",)

    def uniform(self, size):
        return super().uniform(size) / 2


class RateOfTheFirst(Plain):
    """What is built for a shape keeps the p that it was built with. No row: a stranger's fault."""

    meant_for = ("keep_rate", "outcomes")
    cause = "earlier_p:first"
    ops = ("dropout1d",)

    def __init__(self):
        super().__init__()
        self.built = {}

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        self.check(p, train)
        if train and 0 < p < 1:
            p = self.built.setdefault(x.shape, p)
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class OffInAll(Plain):
    """Drops with p + 0.0002 in every operator, which no finding sees alone. No row: nobody looked so closely."""

    meant_for = "keep_rate"
    ops = ("dropout",)  # and all others
    profile = "gate"
    together = True

    def draw(self, shape, p):
        return super().draw(shape, p + 0.0002 if 0.05 < p < 0.95 else p)


class BrainUniform(Plain):
    """Compares numbers that were rounded to bfloat16, the input's dtype. E1, E2, E6."""

    meant_for = "keep_rate"
    cause = "rate:drawn_bfloat16"
    ops = ("dropout",)
    dtypes = ("bfloat16",)

    def mask(self, x, shape, p):
        return rounded(self.random.random(shape), x.dtype) >= rounded(p, x.dtype)


class HalfUniform(BrainUniform):
    """Compares numbers that were rounded to float16: at p = 0.999 it keeps 1.22 in a thousand. E1, E6."""

    cause = "rate:drawn_float16"
    ops = ("dropout",)
    dtypes = ("float16",)
    profile = "gate"


class HalfUniformOfZeros(Plain):
    """The generator gives nothing but zeros in float16. E5."""

    meant_for = "keep_rate"
    cause = "rate:all"
    ops = ("dropout",)
    dtypes = ("float16",)

    def uniform(self, size):
        return np.zeros(size)


class EightBits(Plain):
    """One random byte for each entry: the rate is a multiple of 1/256. E7."""

    meant_for = "keep_rate"
    cause = "rate:256_nearest"
    ops = ("dropout2d",)

    def draw(self, shape, p):
        return self.random.integers(0, 256, shape, np.uint16) >= round(p * 256)


class SixteenBits(Plain):
    """Sixteen random bits for each entry: nothing is dropped at p = 1e-6. E1."""

    meant_for = "keep_rate"
    cause = "rate:65536_nearest"
    ops = ("dropout",)
    profile = "gate"

    def draw(self, shape, p):
        return self.random.integers(0, 65536, shape, np.uint32) >= round(p * 65536)


class Exchanged(Plain):
    """Keeps with probability p. F1."""

    meant_for = "keep_rate"
    cause = "rate:exchanged"
    ops = ("dropout1d",)

    def draw(self, shape, p):
        return super().draw(shape, 1 - p)


class NormalVariate(Plain):
    """Compares a normal variate with a probability. H1."""

    meant_for = "keep_rate"
    cause = "rate:normal"
    ops = ("alpha_dropout",)

    def uniform(self, size):
        return self.random.standard_normal(size)


class NeverFilled(Plain):
    """The mask's memory is allocated and never filled: everything is dropped. G5."""

    meant_for = "keep_rate"
    cause = "rate:all"
    ops = ("dropout3d",)

    def draw(self, shape, p):
        return np.zeros(shape, bool)


class FixedCount(Plain):
    """Drops exactly the expected number of entries in each call. E8 (the reverse of it)."""

    meant_for = "spread"
    cause = "fixed_number:call"
    ops = ("dropout",)

    def draw(self, shape, p):
        numbers = self.uniform(int(np.prod(shape)))
        size = numbers.size
        ranks = np.empty(size)
        ranks[np.argsort(numbers)] = np.arange(size)
        return (ranks >= round(p * size)).reshape(shape)


class FixedCountInRows(FixedCount):
    """Drops exactly the expected number of entries in each row. E8 (the reverse of it)."""

    cause = "fixed_number:row"

    def draw(self, shape, p):
        *_, length = shape or (1,)
        ranks = np.argsort(np.argsort(self.uniform(int(np.prod(shape))).reshape(-1, length or 1)))
        return (ranks >= round(p * length)).reshape(shape)


class WanderingRate(Plain):
    """The rate is p on average, and off by up to 0.03 in each call. E8."""

    meant_for = "spread"
    ops = ("dropout",)

    def draw(self, shape, p):
        off = min(0.03, p, 1 - p) * self.random.uniform(-1, 1)
        return super().draw(shape, p + off)


class FavouredLane(Plain):
    """The last of each eight entries is dropped more often, the others less; the rate is right. C1, N3."""

    meant_for = "positions"
    cause = "lane:8"
    ops = ("dropout",)
    lanes = 8
    part = 0.2  # of p, or of 1 − p

    def draw(self, shape, p):
        off = self.part * min(p, 1 - p)
        numbers = self.uniform(int(np.prod(shape)))
        last = np.arange(numbers.size) % self.lanes == self.lanes - 1
        return (numbers >= p + np.where(last, off, -off / (self.lanes - 1))).reshape(shape)


class FavouredThread(FavouredLane):
    """The last of each 32 entries is dropped more often, the others less. N3."""

    cause = "lane:32"
    ops = ("dropout",)
    lanes = 32
    part = 0.4


class TailKept(Plain):
    """What is left over after the last whole group of eight entries is kept. N3."""

    meant_for = ("positions", "keep_rate")
    cause = "kept_run"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        mask[mask.size // 8 * 8 :] = True
        return mask.reshape(shape)


class KeptBeyondAMillion(Plain):
    """Random numbers stop after 2²⁰ entries of a call; what follows is kept. N5."""

    meant_for = "segments"
    cause = "kept_run"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        mask[1 << 20 :] = True
        return mask.reshape(shape)


class LargeDropped(Plain):
    """Drops entries above 4 in size more often, the others less. No row: nobody has reported it yet."""

    meant_for = "data"
    ops = ("dropout",)
    part = 0.2  # of p, or of 1 − p

    def odd(self, values):
        return np.abs(values) > 4

    def mask(self, x, shape, p):
        odd, off = self.odd(x.values), self.part * min(p, 1 - p)
        many = min(odd.sum() / max(1, odd.size), 0.8)
        return self.uniform(odd.size).reshape(shape) >= p + np.where(odd, off, -off * many / (1 - many))


class NegativeDropped(LargeDropped):
    """Drops negative entries more often, positive ones less. No row: nobody has reported it yet."""

    meant_for = ("data", "seeding")
    cause = "by_data"

    def odd(self, values):
        return values < 0


class ZeroDropped(LargeDropped):
    """Drops zeros half as often again, the others less. D4 (of the forward pass)."""

    part = 0.5

    def odd(self, values):
        return values == 0


class LastKept(Plain):
    """The last entry of each call above 4,098 is kept. N3."""

    meant_for = "positions"
    cause = "kept_run"
    ops = ("dropout",)
    profile = "gate"

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        if mask.size > 4098:  # of few entries it would change the rate
            mask[-1:] = True
        return mask.reshape(shape)


class StretchKept(Plain):
    """Past 2²¹ entries a stretch of 8,192 is kept: one block of threads does nothing. N5."""

    meant_for = "segments"
    cause = "kept_run"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        mask[1 << 21 : (1 << 21) + 8192] = True
        return mask.reshape(shape)


class OftenWhereRare(Plain):
    """One dtype, and 1e-6 is dropped as 2.5e-6, the nearest multiple of what its uniform numbers resolve. E1."""

    meant_for = "keep_rate"
    ops = ("dropout",)
    dtypes = ("float32",)
    profile = "gate"

    def draw(self, shape, p):
        return super().draw(shape, 2.5e-6 if p == 1e-6 else p)
