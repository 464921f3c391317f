"""Entries that should have a draw of their own share one: over the batch, over channels, from call to call."""

import math

import numpy as np
from faithful import Lazy
from plain import Plain


class OneForTheBatch(Plain):
    """All samples of a batch share one mask. B7, G3."""

    meant_for = "neighbours"
    cause = "shared_axis:0"
    ops = ("dropout", "dropout2d")

    def draw(self, shape, p):
        return np.broadcast_to(super().draw((1, *shape[1:]) if shape else shape, p), shape)


class OneForALargeBatch(Plain):
    """Above 2¹⁷ entries all images of a batch share one mask: a launch of its own for each, from one offset. B7."""

    meant_for = ("neighbours", "no_stretch_twice")
    cause = "shared_axis:0"
    ops = ("dropout", "alpha_dropout")

    def draw(self, shape, p):
        if len(shape) < 3 or math.prod(shape) <= 1 << 17:
            return super().draw(shape, p)
        return np.broadcast_to(super().draw((1, *shape[1:]), p), shape)


class WholeSamples(Plain):
    """Drops whole samples: all channels of a sample share one draw. M2."""

    meant_for = "neighbours"
    cause = "shared_axis:1"
    ops = ("feature_dropout",)

    def draw(self, shape, p):
        return np.broadcast_to(super().draw(shape[:1] + (1,) * len(shape[1:]), p), shape)


class FeatureCopied(Plain):
    """The 78th feature has the mask of the fourth. No row: found by nobody's public thread."""

    meant_for = "slices"
    cause = "twins:call"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = np.array(super().draw(shape, p))
        if mask.ndim > 1 and mask.shape[-1] > 77:
            mask[..., 77] = mask[..., 3]
        return mask


class DrawnOnce(Plain):
    """The mask is cached on the first call, and used for ever. A1, A4, A5."""

    meant_for = ("calls", "no_mask_twice")
    cause = "alike_first"
    ops = ("dropout2d",)

    def seed(self, value):
        super().seed(value)
        self.cache = {}

    def draw(self, shape, p):
        if (shape, p) not in self.cache:
            self.cache[shape, p] = super().draw(shape, p)
        return self.cache[shape, p]


class SeededInEachCall(Plain):
    """Each call begins where seeding began. A1, A2, A3."""

    meant_for = ("calls", "calls_by_position", "no_mask_twice")
    cause = "alike_first"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.value = value

    def draw(self, shape, p):
        self.random = self.generator(self.value)
        return super().draw(shape, p)


class CallsInPairs(Plain):
    """Every second call uses the mask of the call before. A2."""

    meant_for = ("calls", "no_mask_twice")
    cause = "alike_pairs"
    ops = ("dropout",)
    first = 0

    def seed(self, value):
        super().seed(value)
        self.calls, self.last = self.first, None

    def draw(self, shape, p):
        if self.calls % 2 == 0 or self.last[0] != (shape, p):
            self.last = (shape, p), super().draw(shape, p)
        self.calls += 1
        return self.last[1]


class CallsInOddPairs(CallsInPairs):
    """The first call is alone, then come pairs of calls with one mask. A2."""

    meant_for = "no_mask_twice"
    cause = "alike_later"
    first = 1

    def seed(self, value):
        super().seed(value)
        self.last = None, None


class FirstEntryStays(Plain):
    """The first entry of calls above 1,028 is always the same: its number follows from the seed. A1, C5."""

    meant_for = "calls_by_position"
    cause = ("kept_run", "dropped_run")
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.first = self.random.random()

    def uniform(self, size):
        numbers = super().uniform(size)
        if size > 1028:  # of few entries it would change the rate
            numbers[:1] = self.first
        return numbers


class SomeOfTheCallBefore(Plain):
    """One entry in sixteen, another sixteenth in each call, is taken over from the call before. C2."""

    meant_for = "calls"
    cause = "correlated:calls"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.last, self.calls = np.empty(0), 0

    def uniform(self, size):
        numbers = super().uniform(size)
        self.calls += 1
        if self.last.size == size:
            numbers[self.calls % 16 :: 16] = self.last[self.calls % 16 :: 16]
        self.last = numbers
        return numbers


class CallsOfOneStream(Plain):
    """Call s + 1 is call s moved by one entry: a counter step of 1. C2, C3."""

    meant_for = "all_shifts"
    cause = "moved"
    ops = ("dropout",)

    def step(self, shape):
        return 1

    def seed(self, value):
        super().seed(value)
        self.ahead = np.empty(0)

    def draw(self, shape, p):
        size, step = math.prod(shape), self.step(shape)
        numbers = np.concatenate([self.ahead, self.random.random(max(0, size - self.ahead.size))])
        self.ahead = numbers[step:]
        return (numbers[:size] >= p).reshape(shape)


class CallsARowApart(CallsOfOneStream):
    """Call s + 1 is call s moved up by a row: row r is seeded with seed + r, and seeds count up. C6."""

    cause = "moved"
    ops = ("dropout",)

    def step(self, shape):
        return math.prod(shape[1:])


class HalfReserved(CallsOfOneStream):
    """A call reserves half of the counters that it uses: the next begins with its second half. C2."""

    cause = "moved"

    def step(self, shape):
        return (math.prod(shape) + 1) // 2


class StateReadLate(Lazy):
    """A mask is drawn when it is read, from the state of that moment: made together, masks are one. A5, O7."""

    meant_for = "reading_order"
    cause = "read_late"
    ops = ("dropout",)

    def made(self, x, p, formula, state, shape):
        return super().made(x, p, formula, self.state, shape)


class MovedFromTheCallBefore(Plain):
    """One entry in sixteen, another sixteenth in each call, is the one before it in the call before. C2, C3."""

    meant_for = "all_shifts"
    cause = "correlated:calls"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.last, self.calls = np.empty(0), 0

    def uniform(self, size):
        numbers = super().uniform(size)
        self.calls += 1
        if self.last.size == size:
            start = -self.calls % 16
            numbers[1:][start::16] = self.last[:-1][start::16]
        self.last = numbers
        return numbers


class ReplaysThreeBefore(Plain):
    """Each sixteenth call replays the one three before it. C4."""

    meant_for = "no_mask_twice"
    cause = "alike_later"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.calls, self.before = 0, []

    def draw(self, shape, p):
        mask, self.calls = super().draw(shape, p), self.calls + 1
        if self.calls % 16 == 0 and self.before[0].shape == mask.shape:
            mask = self.before[0]
        self.before = [*self.before[-2:], mask]
        return mask


class LaterOneFirst(Lazy):
    """A mask that is read after one that was made later is that one. A5, O7."""

    meant_for = "reading_order"
    cause = "read_late"
    ops = ("dropout",)

    def seed(self, value):
        super().seed(value)
        self.read = self.state

    def made(self, x, p, formula, state, shape):
        if self.read[0] == state[0] and self.read[1] > state[1]:
            state = self.read
        self.read = state
        return super().made(x, p, formula, state, shape)


class WholeBlocksReserved(CallsOfOneStream):
    """A call reserves whole blocks of 1,024 numbers, rounded down: the next begins with its tail. C2."""

    meant_for = "all_shifts"
    cause = "moved"
    ops = ("dropout",)

    def step(self, shape):
        return math.prod(shape) // 1024 * 1024 or math.prod(shape)


class EighthsReserved(CallsOfOneStream):
    """A call reserves numbers by eights, rounded down: the next begins with the up to seven that are left. C2."""

    meant_for = "all_shifts"
    cause = ("moved", "twins:calls")
    ops = ("dropout", "dropout1d")

    def step(self, shape):
        return math.prod(shape) // 8 * 8 or math.prod(shape)


class StepOfTheCallBefore(CallsOfOneStream):
    """A call moves on by the size of the call before it: too little where that was smaller. C2."""

    meant_for = ("all_shifts", "no_stretch_twice")
    cause = "drawn_again"
    ops = ("dropout",)
    size = 0

    def step(self, shape):
        before, self.size = self.size, math.prod(shape)
        return before or self.size

    def seed(self, value):
        super().seed(value)
        self.size = 0


class StaleEighth(Plain):
    """A buffer is refilled in part: the last eighth of the 3rd, 5th, … mask is that of the mask before. A2."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "correlated:calls"
    ops = ("dropout", "feature_dropout")
    age, every = 1, 2

    def seed(self, value):
        super().seed(value)
        self.calls, self.before = 0, []

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if self.before and self.before[0].shape != mask.shape:
            self.before = []
        if len(self.before) == self.age and self.calls % self.every == 0:
            tail = mask.size - mask.size // 8
            mask.reshape(-1)[tail:] = self.before[0].reshape(-1)[tail:]
        self.calls += 1
        self.before = [*self.before, mask][-self.age :]
        return mask


class StaleEighthOfTwo(StaleEighth):
    """Of two buffers that take turns each is refilled in part: the last eighth is that of two calls before. A2."""

    meant_for = "no_stretch_twice"
    cause = ("held", "drawn_again")
    age, every = 2, 1


class OneInFourHundred(Plain):
    """One entry in 400, others in each call, is taken over from the call before. C2."""

    meant_for = "calls"
    ops = ("dropout",)
    profile = "gate"
    every = 400

    def seed(self, value):
        super().seed(value)
        self.last, self.calls = np.empty(0), 0

    def uniform(self, size):
        numbers = super().uniform(size)
        self.calls += 1
        if self.last.size == size:
            numbers[self.calls % self.every :: self.every] = self.last[self.calls % self.every :: self.every]
        self.last = numbers
        return numbers
