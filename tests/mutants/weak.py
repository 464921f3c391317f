"""Generators that are known to be weak: in how they restart, in their lowest bits, in what they are linear over."""

import functools

import numpy as np
from plain import Plain

MODULUS, MULTIPLIER = 2**31 - 1, 1132489760  # L'Ecuyer 1999; MKL's MCG31m1
BLOCK = 1 << 16  # numbers that are made at once


class RestartedOnOneCycle(Plain):
    """Each call begins anywhere on one cycle of 2³¹ − 2 numbers: two of some hundred overlap. C4, C5."""

    meant_for = "no_stretch_twice"
    cause = "drawn_again"
    ops = ("dropout",)
    profile = "gate"

    def uniform(self, size):
        states, start = [], np.uint64(self.random.integers(1, MODULUS))
        for _ in range(0, size, BLOCK):
            states.append(start * _powers() % np.uint64(MODULUS))
            start = states[-1][-1]
        return np.concatenate(states)[:size] / MODULUS if size else np.empty(0)


@functools.cache
def _powers():
    powers = np.array([MULTIPLIER], dtype=np.uint64)
    while len(powers) < BLOCK:
        powers = np.concatenate([powers, powers * powers[-1] % np.uint64(MODULUS)])
    return powers


class CutFromAPool(Plain):
    """Every mask is cut from one pool of 2²⁰ numbers, anywhere. C4, C5."""

    meant_for = "no_stretch_twice"
    cause = ("period:call", "drawn_again")
    ops = ("dropout", "dropout3d")

    def uniform(self, size):
        start = int(self.random.integers(1 << 20))
        return np.take(pool(), np.arange(start, start + size), mode="wrap")


@functools.cache
def pool():
    """2²⁰ numbers."""
    return np.random.default_rng().random(1 << 20)


class LowBitsOfLcg(Plain):
    """Numbers are the low 24 bits of a linear congruential generator: they come again after 2²⁴ draws. C4, C5."""

    meant_for = ("no_stretch_twice", "neighbours", "blocks")
    cause = ("drawn_again", "twins:call")
    ops = ("dropout",)
    profile = "gate"

    def seed(self, value):
        super().seed(value)
        self.state = self.random.integers(1 << 64, dtype=np.uint64, endpoint=False)

    def uniform(self, size):
        factors, terms = _steps()
        states = []
        for _ in range(0, size, BLOCK):
            states.append(factors * self.state + terms)
            self.state = states[-1][-1]
        numbers = np.concatenate(states)[:size] if size else np.empty(0, np.uint64)
        self.state = numbers[-1] if size else self.state
        return (numbers & np.uint64(2**24 - 1)) / 2**24


@functools.cache
def _steps():
    """The state after 1, 2, … steps is factor · state + term, modulo 2⁶⁴ (Knuth's MMIX)."""
    factors, terms = (np.array([one], dtype=np.uint64) for one in (6364136223846793005, 1442695040888963407))
    while len(factors) < BLOCK:
        factors, terms = (
            np.concatenate([factors, factors * factors[-1]]),
            np.concatenate([terms, factors * terms[-1] + terms]),
        )
    return factors, terms


class Xorshift(Plain):
    """A shift register of 32 bits (Marsaglia 2003): at p = 1/2 each entry is the parity of some before it. C5."""

    meant_for = "rank"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.state = np.uint32(self.random.integers(1, 1 << 32))

    def uniform(self, size):
        states = np.array([_stepped(self.state)], dtype=np.uint32)
        while len(states) < size:
            states = np.concatenate([states, _ahead(len(states), states)])
        self.state = states[size - 1] if size else self.state
        return states[:size] / 2**32


def _stepped(x):
    x = x ^ (x << np.uint32(13))
    x = x ^ (x >> np.uint32(17))
    return x ^ (x << np.uint32(5))


def _ahead(steps, states):
    """`states`, a power of two of steps later: what each of their bytes becomes, summed over GF(2)."""
    return functools.reduce(
        np.bitwise_xor,
        (table[states >> np.uint32(8 * byte) & np.uint32(255)] for byte, table in enumerate(_tables(steps))),
    )


@functools.cache
def _tables(steps):
    """(4, 256) what each value of each byte becomes after so many steps."""
    bytes_of_one = np.arange(256, dtype=np.uint32) << 8 * np.arange(4, dtype=np.uint32)[:, None]
    return _stepped(bytes_of_one) if steps == 1 else _ahead(steps // 2, _ahead(steps // 2, bytes_of_one))


class Antithetic(Plain):
    """The 3rd, 5th, … mask is drawn from 1 − u of the numbers of the mask before: their sum varies less. C5."""

    meant_for = "calls"
    cause = "complements"
    ops = ("dropout", "dropout2d")

    def seed(self, value):
        super().seed(value)
        self.calls, self.last = 0, np.empty(0)

    def uniform(self, size):
        again = self.calls % 2 == 0 and self.last.size == size
        numbers = 1 - self.last if again else super().uniform(size)
        self.calls, self.last = self.calls + 1, numbers
        return numbers
