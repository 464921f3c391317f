"""Entries of one mask depend on one another: draws used again, weak generators, streams that repeat."""

import math

import numpy as np
from plain import Plain


class FourTogether(Plain):
    """Each draw is used for four neighbours. C1."""

    meant_for = ("neighbours", "blocks")
    cause = "shared_groups:4"
    ops = ("dropout", "dropout2d")

    def uniform(self, size):
        return np.repeat(super().uniform(-(-size // 4)), 4)[:size]


class SumOfTwo(Plain):
    """Each third draw is the sum of the two before it, modulo 1: any two entries are independent. C5."""

    meant_for = "blocks"
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        two = numbers[: size // 3 * 3].reshape(-1, 3)
        two[:, 2] = (two[:, 0] + two[:, 1]) % 1
        return numbers


class ParityOfEight(Plain):
    """At p = 1/2 the last of each eight entries is the parity of the seven before: any seven are independent. C5."""

    meant_for = "blocks:8"
    ops = ("dropout",)
    size = 8

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        if p == 0.5:
            blocks = mask[: mask.size // self.size * self.size].reshape(-1, self.size)
            blocks[:, -1] = blocks[:, :-1].sum(axis=1) % 2
        return mask.reshape(shape)


class ParityOfNine(ParityOfEight):
    """The same of each nine entries, as in a generator of words that is linear over bits. C5."""

    meant_for = "blocks:9"
    profile = "gate"
    size = 9


class Randu(Plain):
    """IBM's RANDU, whose triples lie in fifteen planes: shown at p = 0.3 by 2·10⁷ draws. C5."""

    meant_for = "blocks"
    ops = ("dropout",)
    profile = "gate"
    powers = np.ones(1, np.uint64)

    def seed(self, value):
        self.state = np.uint64((2 * (value or 0) + 1) % 2**31)

    def uniform(self, size):
        while len(self.powers) <= size:  # of 65539, modulo 2³¹
            step = self.powers[-1] * np.uint64(65539) % np.uint64(2**31)
            type(self).powers = np.concatenate([self.powers, self.powers * step % np.uint64(2**31)])
        states = self.state * self.powers[1 : size + 1] % np.uint64(2**31)
        self.state = states[-1] if size else self.state
        return states / 2**31


class NoLongRuns(Plain):
    """No more than four drops in a row: the fifth of five neighbours is kept if the other four are not. C5."""

    meant_for = "runs"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        five = mask[: mask.size // 5 * 5].reshape(-1, 5)
        five[~five[:, :4].any(axis=1), 4] = True
        return mask.reshape(shape)


class PeriodOfAThousand(Plain):
    """The stream repeats after 1,009 draws, a prime that no fixed lag is near. C4, C5."""

    meant_for = "all_lags"
    cause = "period:call"
    ops = ("dropout",)
    period = 1009

    def seed(self, value):
        super().seed(value)
        self.stream, self.at = self.random.random(self.period), 0

    def uniform(self, size):
        numbers = np.take(self.stream, np.arange(self.at, self.at + size), mode="wrap")
        self.at = (self.at + size) % self.period
        return numbers


class PeriodOfEightCalls(PeriodOfAThousand):
    """The stream repeats after 2¹⁹ draws. C4."""

    meant_for = "no_mask_twice"
    cause = "period:calls"
    period = 1 << 19


class LaggedEcho(Plain):
    """One entry in eight repeats the one 777 before it. C5."""

    meant_for = "all_lags"
    cause = ("twins:call", "correlated:call")
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        if size > 1554:
            numbers[1554::8] = numbers[777:-777:8]
        return numbers


class BlocksOverlap(Plain):
    """Each block of 256 threads begins with the last four numbers of the block before. C2."""

    meant_for = "neighbours:4"
    cause = ("twins:call", "correlated:call")
    ops = ("dropout", "dropout2d")

    def uniform(self, size):
        numbers = super().uniform(size)
        blocks = numbers[: size // 256 * 256].reshape(-1, 256)
        blocks[1:, :4] = blocks[:-1, -4:].copy()
        return numbers


class RowsOverlap(Plain):
    """Row 2k + 1 of 1,024 entries begins with the last sixteenth of row 2k's, row 2k + 2 with none of 2k + 1's. C2."""

    meant_for = "neighbours:64"
    cause = ("twins:call", "correlated:call")
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        rows = numbers[: size // 2048 * 2048].reshape(-1, 2, 1024)
        rows[:, 1, :64] = rows[:, 0, -64:]
        return numbers


class CounterWraps(Plain):
    """The counter has fifteen bits: entries 32,768 apart are one draw. C4, N4."""

    meant_for = "neighbours"
    cause = "period:call"
    ops = ("dropout",)

    def uniform(self, size):
        return np.resize(super().uniform(min(size, 1 << 15)), size)


class ThreadNumberWraps(Plain):
    """The number of a thread has twenty bits: entries 2²⁰ apart are one draw. C4, N4."""

    meant_for = "no_stretch_twice"
    cause = ("correlated:call", "period:call", "drawn_again")
    ops = ("dropout", "dropout2d")

    def uniform(self, size):
        return np.resize(super().uniform(min(size, 1 << 20)), size)


class TailFromHead(Plain):
    """What is left over after the last whole 1,024 entries is copied from the head. C4, N3."""

    meant_for = ("neighbours", "all_lags", "blocks")
    cause = "copied_tail:1024"
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        whole = size // 1024 * 1024
        if whole:
            numbers[whole:] = numbers[: size - whole]
        return numbers


class ColumnsAlike(Plain):
    """One entry in four of a row is taken from the row above. B1."""

    meant_for = "neighbours"
    cause = ("twins:call", "correlated:call")
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if len(shape) > 1:
            mask[1::2, ..., ::4] = mask[: math.floor(shape[0] / 2) * 2 : 2, ..., ::4]
        return mask


class TwoOfSixtyFour(Plain):
    """In one of forty stretches of 64 draws the second is the first again. C5."""

    meant_for = "runs"
    ops = ("dropout",)
    profile = "gate"

    def uniform(self, size):
        numbers = super().uniform(size)
        stretches = numbers[: size // 64 * 64].reshape(-1, 64)
        again = super().uniform(len(stretches)) < 1 / 40
        stretches[again, 1] = stretches[again, 0]
        return numbers


class LanesOfTwo(Plain):
    """Sizes that 2 divides and 4 doesn't go by twos, and both take one draw. C1."""

    meant_for = "blocks"
    cause = "shared_groups:2"
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        if size % 4 == 2:
            numbers[1::2] = numbers[::2]
        return numbers


class FloatIndex(Plain):
    """Entries are numbered by float32: above 2²⁴ two neighbours have one draw. C4."""

    meant_for = "neighbours:1"
    ops = ("dropout",)
    profile = "gate"

    def uniform(self, size):
        numbers = super().uniform(size)
        beyond = numbers[1 << 24 :]
        beyond[1::2] = beyond[: len(beyond) // 2 * 2 : 2]
        return numbers
