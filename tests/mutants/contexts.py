"""Right when called plainly, and wrong under a transform, in a layer, in a thread or in another process."""

import functools
import math
import os
import sys
import threading
import time

import numpy as np
from faithful import Stateful
from plain import Array, Layer, Plain, Recomputed
from weak import pool


class Compiled(Plain):
    """A backend whose hooks can tell that they run in a compiled function."""

    compiled = False

    def compile(self, fn):
        def call(*arguments):
            before, self.compiled = self.compiled, True
            try:
                return fn(*arguments)
            finally:
                self.compiled = before

        return call


class Frozen(Plain):
    """A compiled function keeps the mask of its first call: the key is made when it is traced. A4, A5."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "alike_first"
    ops = ("dropout", "feature_dropout")
    where = "compile"

    masks = None

    def compile(self, fn):
        mine = {}

        def call(*arguments):
            self.masks = mine
            try:
                return fn(*arguments)
            finally:
                self.masks = None

        return call

    def draw(self, shape, p):
        if self.masks is None:
            return super().draw(shape, p)
        if (shape, p) not in self.masks:
            self.masks[shape, p] = super().draw(shape, p)
        return self.masks[shape, p]


class Captured(Plain):
    """A compiled function draws anew once, then replays: the first call looks right, and so does the second. A6."""

    meant_for = "no_stretch_twice"
    cause = "alike_later"
    ops = ("dropout2d",)
    where = "compile"

    def compile(self, fn):
        states = []

        def call(*arguments):
            states.append(self.snapshot())
            if len(states) > 2:
                self.restore(states[1])
            return fn(*arguments)

        return call


class CompiledInFours(Compiled):
    """Compiled, four neighbours share a draw. C1."""

    meant_for = "blocks"
    cause = "shared_groups:4"
    ops = ("dropout", "dropout2d")
    where = "compile"

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if not self.compiled or mask.ndim == 0:
            return mask
        flat = mask.reshape(-1)
        flat[: flat.size // 4 * 4] = np.repeat(flat[: flat.size // 4 * 4 : 4], 4)
        return flat.reshape(shape)


class CompiledInBytes(Compiled):
    """Compiled, the keep rate is rounded to 1/256. E7."""

    meant_for = "keep_rate"
    cause = "rate:256_up"
    ops = ("dropout",)
    where = "compile"

    def draw(self, shape, p):
        return super().draw(shape, math.ceil(p * 256) / 256 if self.compiled else p)


class CompiledReservesBlocks(Compiled):
    """Compiled, a call reserves whole blocks of 1,024 numbers, rounded down: the next begins with its tail. C2."""

    meant_for = "all_shifts"
    cause = "moved"
    ops = ("dropout", "dropout2d")
    where = "compile"

    def seed(self, value):
        super().seed(value)
        self.ahead = np.empty(0)

    def uniform(self, size):
        if not self.compiled:
            return super().uniform(size)
        numbers = np.concatenate([self.ahead, super().uniform(max(0, size - self.ahead.size))])
        self.ahead = numbers[size // 1024 * 1024 or size :]
        return numbers[:size]


class CompiledAtZero(Compiled):
    """Compiled, p = 0 drops everything: a comparison was rewritten. E3, E4."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("alpha_dropout",)
    where = "compile"

    def all_kept(self, x):
        return Array(x.values * 0, x.dtype) if self.compiled else x


class CompiledScale(Compiled):
    """Compiled, the scale is formed in half precision. G5."""

    meant_for = "outcomes"
    cause = "scale:rounded_float16"
    ops = ("dropout",)
    where = "compile"

    def scale(self, p, dtype):
        scale = super().scale(p, dtype)
        return float(np.float16(scale)) if self.compiled else scale


class CompiledWide(Compiled):
    """Compiled, the result is float64. K1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout3d",)
    where = "compile"

    def result(self, x, values, slope):
        return Array(values, "float64" if self.compiled else x.dtype, slope)


class CompiledBackward(Compiled):
    """Compiled, the backward pass draws a mask of its own: the saved state was optimised away. D3."""

    meant_for = "gradient"
    cause = "own_mask"
    ops = ("dropout", "feature_alpha_dropout")
    where = "compile"

    def scaled(self, x, mask, p):
        values, slope = super().scaled(x, mask, p)
        return values, super().scaled(x, self.draw(mask.shape, p), p)[1] if self.compiled else slope

    def mapped(self, x, mask, p):
        values, slope = super().mapped(x, mask, p)
        return values, super().mapped(x, self.draw(mask.shape, p), p)[1] if self.compiled else slope


class ModeOfTheTrace(Plain):
    """A compiled function has the mode in which it was first called, for ever. I4, I5."""

    meant_for = "modes"
    cause = "mode_of_first"
    ops = ("dropout", "alpha_dropout")
    where = "compile"

    def compile(self, fn):
        mode = []

        def call(x, *train):
            mode[:] = mode or train
            return fn(x, *mode)

        return call


class LayerOfTheTrace(Plain):
    """A layer compiled in training goes on dropping in evaluation. I4."""

    meant_for = "modes"
    cause = "mode_of_first"
    ops = ("dropout",)
    where = "compile+module"

    def compile(self, fn):
        if not isinstance(fn, Layer):
            return fn
        layer, mode = fn, []

        def call(x):
            mode[:] = mode or [layer.training]
            return layer.operator(x, layer.p, *mode)

        return call


class OneForAllRows(Plain):
    """Mapped, all rows have one mask. B1."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "alike_rows"
    ops = ("dropout", "dropout1d")
    where = "vmap"

    def vmap(self, fn):
        def row(state, x):
            self.restore(state)
            return fn(x)

        def mapped(x):
            state = self.snapshot()
            return super(OneForAllRows, self).vmap(functools.partial(row, state))(x)

        return mapped


class RowsBeginAlike(Plain):
    """Mapped, the first four entries of all rows are the first row's. B1."""

    meant_for = "calls_by_position"
    ops = ("dropout",)
    where = "vmap"
    profile = "gate"
    begun = None

    def vmap(self, fn):
        def row(begun, x):
            self.begun = begun
            try:
                return fn(x)
            finally:
                self.begun = None

        return lambda x: super(RowsBeginAlike, self).vmap(functools.partial(row, []))(x)

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if self.begun is not None:
            entries = mask.reshape(-1)
            if not self.begun:
                self.begun.append(entries[:4].copy())
            entries[:4] = self.begun[0]
        return mask


class OneForUnmappedRows(Plain):
    """Mapped over something else, one input has one mask for all rows. B2."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "drawn_again"
    ops = ("dropout",)
    where = "vmap"

    def vmap(self, fn):
        def mapped(x):
            if x.values.ndim > 1:
                return super(OneForUnmappedRows, self).vmap(fn)(x)
            one = fn(Array(x.values[0], x.dtype))
            return Array(np.stack([one.values] * len(x.values)), one.dtype)

        return mapped


class RowsLost(Plain):
    """Mapped over something else, the result lacks the mapped axis. B2."""

    meant_for = "outcomes"
    cause = "shape_lost"
    ops = ("dropout2d",)
    where = "vmap"

    def vmap(self, fn):
        def mapped(x):
            if x.values.ndim > 1:
                return super(RowsLost, self).vmap(fn)(x)
            return fn(Array(x.values[0], x.dtype))

        return mapped


class MappedBackward(Plain):
    """Mapped, the gradient of each row has the mask of the first. B1, D1."""

    meant_for = "gradient"
    cause = "of_first_row"
    ops = ("dropout",)
    where = "vmap"

    def vmap(self, fn):
        def mapped(x):
            out = super(MappedBackward, self).vmap(fn)(x)
            out.slope = np.broadcast_to(out.slope[:1], out.values.shape)
            return out

        return mapped


class Redone(Plain):
    """A checkpoint draws another mask when it runs again. D1, D2."""

    meant_for = "gradient"
    cause = "own_mask"
    ops = ("dropout", "dropout2d", "alpha_dropout")
    where = "checkpoint"

    def checkpoint(self, fn):
        def checkpointed(x):
            before = x.values.copy()
            out = fn(x)
            return Recomputed(out.values, out.dtype, lambda: fn(Array(before.copy(), x.dtype)))

        return checkpointed


class RedoneWhereCompiled(Redone):
    """A checkpoint inside a compiled function draws another mask when it runs again. D3."""

    cause = "own_mask"
    where = "compile+checkpoint"
    ops = ("dropout",)
    compiling = False

    def compile(self, fn):
        def call(*arguments):
            self.compiling = True
            try:
                return fn(*arguments)
            finally:
                self.compiling = False

        return call

    def checkpoint(self, fn):
        kept, redone = Plain.checkpoint(self, fn), super().checkpoint(fn)
        return lambda x: (redone if self.compiling else kept)(x)


class RateOfACheckpoint(Plain):
    """In a checkpoint the keep rate is 1 − p²: dropped entries are drawn again. E8."""

    meant_for = "keep_rate"
    cause = "rate:again"
    ops = ("dropout", "feature_dropout")
    where = "checkpoint"
    inside = False

    def checkpoint(self, fn):
        def marked(x):
            self.inside = True
            try:
                return fn(x)
            finally:
                self.inside = False

        return super().checkpoint(marked)

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        return mask | super().draw(shape, p) if self.inside else mask


class LayerForgetsEvaluation(Plain):
    """A layer ignores its mode. I1."""

    meant_for = ("evaluation", "modes")
    cause = "evaluation_drops"
    ops = ("dropout2d",)
    where = "module"

    def module(self, op, p):
        layer = super().module(op, p)
        layer.eval = layer.train
        return layer


class NeverDropsAgain(Plain):
    """A layer that was once in evaluation stays there. I2."""

    meant_for = "modes"
    cause = "mode_evaluation"
    ops = ("dropout", "feature_alpha_dropout")
    where = "module"

    def module(self, op, p):
        layer = super().module(op, p)

        def train():
            layer.training = layer.training and True

        layer.train = train
        return layer


class LayerWithASwitch(Plain):
    """A layer has a switch of its own that its own eval() turns off, and its container's eval() doesn't. I1."""

    meant_for = "modes"
    cause = "container_mode"
    ops = ("dropout2d", "alpha_dropout")
    where = "module"

    def module(self, op, p):
        import torch  # here: other processes load this file too

        class Switch(torch.nn.Module):
            """A layer of PyTorch's around an operator of another framework."""

            def __init__(self, operator):
                super().__init__()
                self.operator, self.on = operator, True

            def train(self, mode=True):
                self.on |= mode
                return super().train(mode)

            def eval(self):
                self.on = False
                return super().eval()

            def forward(self, x):
                return self.operator(x, p, self.on)

        return Switch(getattr(self, op))


class LayerKeepsP(Plain):
    """A layer takes p for the probability of keeping. F1, F2."""

    meant_for = ("keep_rate", "outcomes")
    cause = "of_keeping"
    ops = ("dropout",)
    where = "module"

    def module(self, op, p):
        return super().module(op, 1 - p)


class LayerRefusesOne(Plain):
    """A layer refuses p = 1. J2."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout3d",)
    where = "module"

    def module(self, op, p):
        if p == 1:
            raise ValueError("p = 1 is not in [0, 1)")
        return super().module(op, p)


class LayerOfOneMask(Plain):
    """A layer draws its mask when it is made. A1, A4."""

    meant_for = ("calls", "no_stretch_twice")
    cause = "alike_first"
    ops = ("alpha_dropout",)
    where = "module"

    def module(self, op, p):
        layer, state = super().module(op, p), self.snapshot()

        def operator(x, p, train):
            after = self.snapshot()
            self.restore(state)
            try:
                return getattr(self, op)(x, p, train)
            finally:
                self.restore(after)

        layer.operator = operator
        return layer


class ThreadsAlike(Plain):
    """Every fresh thread begins where seeding did. B8."""

    meant_for = ("streams", "no_stretch_twice")
    cause = "alike_first"
    ops = ("dropout", "dropout1d")
    where = "thread"

    def seed(self, value):
        self.value, self.local = value, threading.local()

    @property
    def random(self):
        if not hasattr(self.local, "random"):
            self.local.random = self.generator(self.value)
        return self.local.random

    def snapshot(self):
        return {"state": self.random.bit_generator.state}

    def restore(self, snapshot):
        self.random.bit_generator.state = snapshot["state"]


class ThreadsShareAPool(Plain):
    """Every fresh thread begins somewhere in one stream of 2²⁰ numbers. B3."""

    meant_for = "no_stretch_twice"
    cause = ("drawn_again", "alike_later")
    profile = "gate"
    ops = ("dropout", "dropout1d")
    where = "thread"

    def seed(self, value):
        super().seed(value)
        self.main, self.lock = threading.get_ident(), threading.Lock()

    def uniform(self, size):
        with self.lock:
            if threading.get_ident() == self.main:
                return super().uniform(size)
            start = int(self.random.integers(1 << 20))
        return np.take(pool(), np.arange(start, start + size), mode="wrap")

    def snapshot(self):
        return {"state": self.random.bit_generator.state}

    def restore(self, snapshot):
        self.random.bit_generator.state = snapshot["state"]


class ThreadsTakeOver(Plain):
    """A fresh thread repeats half of what the thread before drew. B3, C2."""

    meant_for = ("streams", "no_stretch_twice")
    cause = ("held", "drawn_again")
    ops = ("dropout",)
    where = "thread"

    def seed(self, value):
        super().seed(value)
        self.last, self.thread = None, threading.get_ident()

    def draw(self, shape, p):
        mask = super().draw(shape, p).reshape(-1)
        if threading.current_thread() is not threading.main_thread():
            if self.last is not None and self.last[0] == (shape, p):
                mask[: mask.size // 2] = self.last[1][: mask.size // 2]
            self.last = (shape, p), mask.copy()
        return mask.reshape(shape)


OWN = threading.local()


class ThreadsSeededApart(Plain):
    """A thread draws from a generator of its own, which the system seeds, so no seed reaches it. O4."""

    meant_for = "concurrency"
    cause = "thread_unlike"
    ops = ("dropout", "dropout2d")
    where = "thread"

    def uniform(self, size):
        if threading.current_thread() is threading.main_thread():
            return super().uniform(size)
        if not hasattr(OWN, "random"):
            OWN.random = self.generator(None)
        return OWN.random.random(size)


class ThreadsSeededByNumber(Plain):
    """A thread draws from a generator of its own, seeded by the thread's number, so no seed reaches it. B3."""

    meant_for = "concurrency"
    cause = "thread_alike"
    ops = ("dropout", "alpha_dropout")
    where = "thread"

    def seed(self, value):
        super().seed(value)
        self.lock, self.number = threading.Lock(), 0

    def uniform(self, size):
        if threading.current_thread() is threading.main_thread():
            return super().uniform(size)
        with self.lock:
            self.number += 1
            return self.generator(self.number).random(size)


class NoLock(Plain):
    """The generator's state is read, and later written, without a lock. B8."""

    meant_for = "concurrency"
    cause = "threads_alike"
    ops = ("dropout",)
    where = "thread"

    def seed(self, value):
        super().seed(value)
        self.counter = 0

    def draw(self, shape, p):
        if threading.current_thread() is threading.main_thread():
            return super().draw(shape, p)
        counter = self.counter
        time.sleep(0.002)  # others read the same meanwhile
        self.counter = counter + 1
        return (np.random.Generator(np.random.Philox(key=counter)).random(math.prod(shape)) >= p).reshape(shape)


class OneBuffer(Plain):
    """Threads share the buffer that the result is formed in. B8."""

    meant_for = "concurrency"
    cause = "threads_alike"
    ops = ("feature_dropout",)
    where = "thread"
    buffer = np.empty(0)

    def scaled(self, x, mask, p):
        if threading.current_thread() is threading.main_thread():
            return super().scaled(x, mask, p)
        values, slope = super().scaled(x, mask, p)
        if self.buffer.shape != values.shape:
            self.buffer = np.empty_like(values)
        out = self.buffer
        out[...] = values
        time.sleep(0.002)  # others write meanwhile
        return out.copy(), slope


class BeginsAlike(Plain):
    """Unseeded processes begin with one fixed state. A7."""

    meant_for = "seeding"
    cause = "process_alike"
    ops = ("dropout",)
    where = "process"

    def __init__(self):
        self.seed(0)


class SeedOfTheProcess(Plain):
    """A seed is mixed with the number of the process: the same seed gives other masks elsewhere. O1."""

    meant_for = "seeding"
    cause = "process_unlike"
    ops = ("dropout",)
    where = "process"

    def generator(self, seed):
        return super().generator(None if seed is None else [seed, os.getpid()])


class RanksAlike(Plain):
    """In a process that another one started, seeds are rounded down to even ones: ranks have one mask. B5, B6."""

    meant_for = "streams"
    ops = ("dropout",)
    where = "process"

    def generator(self, seed):
        started = sys.argv[0].endswith("other_process.py")
        return super().generator(seed // 2 if started and seed is not None else seed)


class ForkedAlike(Stateful):
    """A process that is forked draws what its parent draws, though it says otherwise. B5."""

    meant_for = "state"
    cause = "fork_alike"
    ops = ("dropout",)
    where = "process"

    def uniform(self, size):
        return self.random.random(size)


class Owned(Plain):
    """A backend whose functions may have generators of their own, begun with the seed."""

    def seed(self, value):
        super().seed(value)
        self.value, self.generators = value, {}

    def owned(self, fn):
        """fn with a generator of its own."""
        name = object()

        def call(*arguments):
            before, self.random = self.random, self.generators.setdefault(name, self.generator(self.value))
            try:
                return fn(*arguments)
            finally:
                self.random = before

        return call


class LayersAlike(Owned):
    """Each layer has a generator of its own, begun with the seed: two layers drop alike. A4, B4."""

    meant_for = "streams:twin"
    cause = "begins_alike:twin"
    ops = ("dropout",)
    where = "module"

    def module(self, op, p):
        return Layer(self.owned(getattr(self, op)), p)


class CompiledAlike(Owned):
    """Each compiled function has a generator of its own, begun with the seed. A5, A6."""

    meant_for = "streams:twin"
    cause = "begins_alike:twin"
    ops = ("alpha_dropout",)
    where = "compile"

    def compile(self, fn):
        return self.owned(fn)


class Unseeded(Plain):
    """A backend that may draw from a second generator, which no seed reaches."""

    unseeded = False

    def __init__(self):
        super().__init__()
        self.second = self.generator(None)

    def uniform(self, size):
        return self.second.random(size) if self.unseeded else super().uniform(size)

    def without_seed(self, fn):
        """fn with the second generator."""

        def call(*arguments):
            before, self.unseeded = self.unseeded, True
            try:
                return fn(*arguments)
            finally:
                self.unseeded = before

        return call


class CompiledUnseeded(Unseeded):
    """A compiled function draws from a generator that no seed reaches. O10."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("dropout", "feature_dropout")
    where = "compile"

    def compile(self, fn):
        return self.without_seed(fn)


class MappedUnseeded(Unseeded):
    """Mapped, rows are drawn from a generator that no seed reaches. O10."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("dropout1d",)
    where = "vmap"

    def vmap(self, fn):
        return super().vmap(self.without_seed(fn))


class RecomputedUnseeded(Unseeded):
    """In a checkpoint masks come from a generator that no seed reaches. O10."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("alpha_dropout",)
    where = "checkpoint"

    def checkpoint(self, fn):
        return super().checkpoint(self.without_seed(fn))


class WrittenUnseeded(Unseeded):
    """The in-place form draws from a generator that no seed reaches. O8."""

    meant_for = "seeding"
    cause = "seed_ignored"
    ops = ("dropout",)
    where = "inplace"

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        apply = self.without_seed(super().apply) if inplace else super().apply
        return apply(x, p, train, inplace, shape_of_mask, formula)


class LayerSeededOnce(Plain):
    """A layer has a generator of its own, begun when the layer is made: later seeds don't reach it. O3."""

    meant_for = "seeding"
    cause = "not_renewed"
    ops = ("dropout", "dropout2d")
    where = "module"

    def module(self, op, p):
        own, operator = self.generator(self.random.integers(2**63)), getattr(self, op)

        def call(*arguments):
            before, self.random = self.random, own
            try:
                return operator(*arguments)
            finally:
                self.random = before

        return Layer(call, p)


class CompiledInOrder(Owned):
    """The key of a compiled function follows from how many were compiled before: made anew, it draws otherwise. O7."""

    meant_for = "seeding"
    cause = "made_anew"
    ops = ("dropout",)
    where = "compile"
    made = 0

    def compile(self, fn):
        self.made += 1
        number = self.made

        def call(*arguments):
            generator = self.generators.setdefault(number, self.generator([self.value or 0, number]))
            before, self.random = self.random, generator
            try:
                return fn(*arguments)
            finally:
                self.random = before

        return call


class Traced(Plain):
    """A backend whose compiled functions are told whether a gradient is asked for, and what they were traced for."""

    differentiated = False

    def vjp(self, fn, x, cotangent):
        self.differentiated = True
        try:
            return super().vjp(fn, x, cotangent)
        finally:
            self.differentiated = False

    def compile(self, fn):
        traces = []

        def call(x, *train):
            traces.append((x.values.shape, self.differentiated))
            return self.again(fn(x, *train), traces[-1], traces[0])

        return call

    def again(self, out, now, first):
        """The result of a call, traced for `first` = (shape, whether with a gradient)."""
        return out


class TracedWithoutGradient(Traced):
    """What was first compiled without a gradient has none later. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:retracing_of_gradient"
    ops = ("dropout", "dropout1d")
    where = ("compile", "compile+module")

    def again(self, out, now, first):
        constant = now[1] and not first[1]
        return Array(out.values, out.dtype, np.zeros_like(out.values)) if constant else out


class RaisesWhenRetraced(Traced):
    """A gradient on another shape than the first finds no kernel. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:retracing_of_gradient"
    ops = ("dropout2d",)
    where = ("compile", "compile+module")

    def again(self, out, now, first):
        if now[1] and now[0] != first[0]:
            raise RuntimeError(f"no kernel for {now[0]}")
        return out


class SlopeOfTheFirstShape(Traced):
    """The backward pass covers as much as the first shape. No row: nobody has reported it yet."""

    meant_for = "gradient"
    cause = "fact:retracing_of_gradient"
    ops = ("dropout", "alpha_dropout")
    where = ("compile", "compile+module")

    def again(self, out, now, first):
        if now[1] and now[0] != first[0]:
            slope = np.array(np.broadcast_to(out.slope, out.values.shape))
            slope.reshape(-1)[math.prod(first[0]) :] = 0
            return Array(out.values, out.dtype, slope)
        return out
