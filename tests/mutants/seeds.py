"""Seeds that do nothing, are cut, or give related streams; calls that draw where they must not."""

import numpy as np
from gradients import Differentiated
from plain import Plain


class SeedIgnored(Plain):
    """Seeding has no effect. O1, O8."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(None)


class AlwaysOneSeed(Plain):
    """Every seed is seed 0. A7, O8."""

    meant_for = ("seeding", "streams")
    cause = "seed_one"
    ops = ("dropout2d",)

    def seed(self, value):
        super().seed(0)


class SixteenBitSeed(Plain):
    """Only the low 16 bits of a seed count. O5."""

    meant_for = "streams"
    cause = "seed_cut:16"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) & 0xFFFF)


class ThirtyOneBitSeed(Plain):
    """Only the low 31 bits of a seed count: s and s + 2³¹ are one. O5."""

    meant_for = "streams"
    cause = "seed_cut:31"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) & 0x7FFFFFFF)


class SeedsInPairs(Plain):
    """The lowest bit of a seed is lost. O5."""

    meant_for = ("streams", "seeding")
    cause = "seed_pairs"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value or 0) >> 1)


class NextSeedIsNextCall(Plain):
    """Call c of seed s is drawn from s + c, so seed s + 1 is seed s a call later. B3, C6."""

    meant_for = "streams"
    cause = "seed_ahead"
    ops = ("dropout",)

    def seed(self, value):
        self.value = value or 0

    def uniform(self, size):
        self.value += 1
        return np.random.Generator(np.random.SFC64(self.value)).random(size)


class NextSeedIsARowLater(Plain):
    """Row r is seeded with seed + r: seed s + 1 is seed s moved up by a row. C6."""

    meant_for = "streams"
    cause = "seed_row"
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
    cause = "not_renewed"
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
    cause = "draws_in:evaluation"
    ops = ("dropout",)

    def evaluated(self, x, p):
        self.draw(x.values.shape, p)
        return x


class DrawsAtZero(Plain):
    """A mask is drawn at p = 0, where all is kept. O6."""

    meant_for = "seeding"
    cause = "draws_in:zero"
    ops = ("dropout2d",)

    def all_kept(self, x):
        self.draw(x.values.shape, 0)
        return x


class ThreadsTakeWork(Plain):
    """Above 10,000 entries sixteen threads share the work, and take its parts as they come. O4."""

    meant_for = "seeding"
    cause = "large_unlike"
    ops = ("dropout", "dropout2d")

    def uniform(self, size):
        numbers = super().uniform(size)
        if size <= 10_000:
            return numbers
        parts = np.array_split(numbers, 16)
        return np.concatenate([parts[part] for part in np.random.default_rng().permutation(16)])


class ZeroIsNone(Plain):
    """Seed 0 is taken for none: `seed or fresh`. O8."""

    meant_for = "seeding"
    cause = "seed_zero"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value or None)


class HashedToSixteenBits(Plain):
    """A seed is hashed to 16 bits: no neighbours are alike, and there are 65,536 streams in all. O5."""

    meant_for = "no_mask_twice"
    cause = "seeds_meet"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value * 2654435761 & 0xFFFFFFFF) >> 16 if value is not None else None)


class HashedToTwentyTwoBits(Plain):
    """A seed is hashed to 22 bits: there are four million streams in all. O5."""

    meant_for = "no_mask_twice"
    cause = "seeds_meet"
    ops = ("dropout",)

    def seed(self, value):
        super().seed((value * 2654435761 & 0xFFFFFFFF) >> 10 if value is not None else None)


class SeedIsTheState(Plain):
    """The seed is the state of a xorshift generator as it is: the first number is small whatever the seed. C5."""

    meant_for = "first_positions"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.first = None if value is None else value | 1

    def uniform(self, size):
        numbers = super().uniform(size)
        if self.first is not None and size:
            x = self.first ^ self.first << 13
            x ^= x >> 7
            numbers[0] = ((x ^ x << 17) & (1 << 64) - 1) / 2**64
            self.first = None
        return numbers


class SecondCallUnseeded(Plain):
    """From the second call on numbers come from a generator that seeding doesn't reach. O3."""

    meant_for = "seeding"
    cause = "seed_second"
    ops = ("dropout2d",)

    def seed(self, value):
        super().seed(value)
        self.fresh, self.other = True, np.random.default_rng()

    def uniform(self, size):
        random, self.fresh = self.random if self.fresh else self.other, False
        return random.random(size)


class EmptyGoesBack(Plain):
    """A call on an empty input leaves the generator where seeding had set it. O3."""

    meant_for = "seeding"
    cause = "empty_resets"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.value = value

    def draw(self, shape, p):
        if 0 in shape:
            super().seed(self.value)
        return super().draw(shape, p)


class GeneratorForEach(Plain):
    """A generator for each shape, begun with the seed: masks of two shapes are one stream. B4."""

    meant_for = "streams:shape"
    cause = "begins_alike:shape"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.value, self.generators = value, {}

    def key(self, x, shape):
        """What has a generator of its own."""
        return shape

    def mask(self, x, shape, p):
        self.random = self.generators.setdefault(self.key(x, shape), self.generator(self.value))
        return self.draw(shape, p)


class GeneratorForEachDtype(GeneratorForEach):
    """A generator for each dtype, begun with the seed. B4."""

    meant_for = "streams:dtype"
    cause = "begins_alike:dtype"
    dtypes = ("float32", "float64")

    def key(self, x, shape):
        return x.dtype


class GeneratorForEachOperator(GeneratorForEach):
    """A generator for each operator, begun with the seed. B4."""

    meant_for = "streams:op"
    cause = "begins_alike:op"
    ops = ("alpha_dropout",)

    def key(self, x, shape):
        return self.formula

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        self.formula = formula.__name__
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class GeneratorForGradients(Differentiated, GeneratorForEach):
    """A second generator where a gradient is asked for, begun with the same seed. B4, C1."""

    meant_for = "streams:grad"
    cause = "begins_alike:grad"

    def key(self, x, shape):
        return self.differentiated


class NothingAfterZero(Plain):
    """After seed 0 every number is 0, and all is dropped. O9."""

    meant_for = "seeding"
    cause = ("seed_stuck", "seed_bounds")
    ops = ("dropout", "feature_alpha_dropout")

    def seed(self, value):
        super().seed(value)
        self.value = value

    def uniform(self, size):
        return super().uniform(size) * (self.value != 0)


class RateAfterMinusOne(Plain):
    """Seed 2³² − 1 is −1 in 32 bits, and taken for a state of ones: numbers are a little too large. O9."""

    meant_for = "seeding"
    cause = ("seed_bounds", "seed_rate")
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.exponent = 0.95 if value == 2**32 - 1 else 1

    def uniform(self, size):
        return super().uniform(size) ** self.exponent


class WordsAdded(Plain):
    """The two words of a seed are added: 2³² is seed 1. O5."""

    meant_for = "seeding"
    cause = "seed_bounds"
    ops = ("dropout", "dropout1d")

    def seed(self, value):
        super().seed(value if value is None else (value >> 32) + (value & 0xFFFFFFFF))


class SignedSeed(Plain):
    """A seed is cast to a double: 2⁶³ − 1 can't be cast back, and raises. O5."""

    meant_for = "seeding"
    cause = ("seed_bounds", "seed_fails")
    ops = ("dropout2d",)

    def seed(self, value):
        if value is not None and int(float(value)) >= 2**63:
            raise OverflowError("Python int too large to convert to C long")
        super().seed(value)
