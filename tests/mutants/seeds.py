"""Seeds that do nothing, are cut, or give related streams; calls that draw where they must not."""

import numpy as np
from plain import Plain


class SeedIgnored(Plain):
    """Seeding has no effect. O1, O8."""

    meant_for = "seeding"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(None)


class AlwaysOneSeed(Plain):
    """Every seed is seed 0. A7, O8."""

    meant_for = ("seeding", "streams")
    ops = ("dropout2d",)

    def seed(self, value):
        super().seed(0)


class SixteenBitSeed(Plain):
    """Only the low 16 bits of a seed count. O5."""

    meant_for = "streams"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) & 0xFFFF)


class ThirtyOneBitSeed(Plain):
    """Only the low 31 bits of a seed count: s and s + 2³¹ are one. O5."""

    meant_for = "streams"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) & 0x7FFFFFFF)


class SeedsInPairs(Plain):
    """The lowest bit of a seed is lost. O5."""

    meant_for = ("streams", "seeding")
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) >> 1)


class NextSeedIsNextCall(Plain):
    """Call c of seed s is drawn from s + c, so seed s + 1 is seed s a call later. B3, C6."""

    meant_for = "streams"
    ops = ("dropout",)

    def seed(self, value):
        self.value = value or 0

    def uniform(self, size):
        self.value += 1
        return np.random.Generator(np.random.SFC64(self.value)).random(size)


class NextSeedIsARowLater(Plain):
    """Row r is seeded with seed + r: seed s + 1 is seed s moved up by a row. C6."""

    meant_for = "streams"
    ops = ("dropout",)

    def seed(self, value):
        self.value, self.calls = value or 0, 0

    def draw(self, shape, p):
        self.calls += 1
        rows, *row = shape if len(shape) > 1 else (1, *shape)
        random = [np.random.Generator(np.random.Philox(key=[self.value + r, self.calls])) for r in range(rows)]
        return np.array([one.random(row) for one in random]).reshape(shape) >= p


class NotRenewed(Plain):
    """Numbers drawn ahead are not thrown away by seeding. O3."""

    meant_for = "seeding"
    ops = ("dropout",)
    ahead = np.empty(0)

    def uniform(self, size):
        while self.ahead.size < size:
            self.ahead = np.concatenate([self.ahead, self.random.random(10_007)])
        numbers, self.ahead = self.ahead[:size], self.ahead[size:]
        return numbers


class DrawsInEvaluation(Plain):
    """A mask is drawn in evaluation, and not used. O2."""

    meant_for = "seeding"
    ops = ("dropout",)

    def evaluated(self, x, p):
        self.draw(x.values.shape, p)
        return x


class DrawsAtZero(Plain):
    """A mask is drawn at p = 0, where all is kept. O6."""

    meant_for = "seeding"
    ops = ("dropout2d",)

    def all_kept(self, x):
        self.draw(x.values.shape, 0)
        return x


class ThreadsTakeWork(Plain):
    """Above 10,000 entries sixteen threads share the work, and take its parts as they come. O4."""

    meant_for = "seeding"
    ops = ("dropout", "dropout2d")

    def uniform(self, size):
        numbers = super().uniform(size)
        if size <= 10_000:
            return numbers
        parts = np.array_split(numbers, 16)
        return np.concatenate([parts[part] for part in np.random.default_rng().permutation(16)])
