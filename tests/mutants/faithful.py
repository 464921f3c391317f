"""Faithful backends that draw, fill, compare and round each in its own way: none of them may ever fail."""

import functools
import math
import os
import threading

import numpy as np
from plain import Array, Plain, rounded

LOCK = threading.Lock()  # threads may call at the same time


class Philox(Plain):
    """Another generator."""

    dtypes = ("float32",)

    def generator(self, seed):
        return np.random.Generator(np.random.Philox(seed))


class MersenneTwister(Plain):
    """MT19937 through NumPy's legacy interface, which takes seeds in words of 32 bits."""

    dtypes = ("float64",)

    def generator(self, seed):
        return np.random.RandomState(seed if seed is None else [seed & 0xFFFFFFFF, seed >> 32])


class OtherSide(Plain):
    """PCG64, and the comparison the other way round: kept where u < 1 − p."""

    dtypes = ("bfloat16",)

    def generator(self, seed):
        return np.random.Generator(np.random.PCG64(seed))

    def draw(self, shape, p):
        return (self.uniform(math.prod(shape)) < 1 - p).reshape(shape)


class Integers(Plain):
    """Random words of 32 bits against a threshold: no floating-point number is drawn."""

    dtypes = ("float16",)

    def draw(self, shape, p):
        return self.random.integers(0, 2**32, shape, np.uint32) >= round(p * 2**32)


class ColumnMajor(Plain):
    """Masks filled from the last axis to the first, and packed where the outputs are."""

    dtypes = ("float32",)

    def pack(self, y, kept):
        return np.packbits((self.asnumpy(y) == self.asnumpy(kept)).reshape(-1), bitorder="little")

    def draw(self, shape, p):
        return np.transpose(super().draw(shape[::-1], p))


class Backwards(Plain):
    """Masks filled from their end to their beginning."""

    dtypes = ("float32",)

    def draw(self, shape, p):
        return super().draw(shape, p).reshape(-1)[::-1].reshape(shape)


class Selecting(Plain):
    """Selects where PyTorch multiplies: a dropped infinity is 0; alpha dropout rounds once."""

    dtypes = ("float16", "bfloat16")

    def scaled(self, x, mask, p):
        scale = rounded(1 / (1 - p), x.dtype)
        return np.where(mask, rounded(x.values * scale, x.dtype), np.float32(0)), mask * scale

    def mapped(self, x, mask, p):
        a, b, d = self.affine(p, x.dtype)
        wide = np.where(mask, x.values, d).astype(np.float64) * a + b
        return rounded(wide, x.dtype), mask * rounded(a, x.dtype)

    def all_dropped(self, x):
        return np.zeros_like(x.values), np.zeros_like(x.values)


class Dividing(Plain):
    """Other rounding: x/(1 − p), in place of x times 1/(1 − p)."""

    dtypes = ("float16", "bfloat16")

    def scaled(self, x, mask, p):
        keep = x.values.dtype.type(1 - p)
        return rounded(x.values * mask / keep, x.dtype), rounded(mask / keep, x.dtype)


class ChannelsLast(Plain):
    """Channels behind the spatial axes."""

    layout = "channels_last"
    dtypes = ("float32",)

    def channels(self, x):
        first, *rest = super().channels(x)
        return (first, *[1 for _ in rest[1:]], x.values.shape[-1])

    def channels_of_one(self, x):
        return (1,) * (x.values.ndim - 1) + x.values.shape[-1:]


class Keyed(Plain):
    """A generator of its own for each call, from the seed and the number of the call: no state but a counter."""

    dtypes = ("float32",)

    def seed(self, value):
        self.state = np.random.SeedSequence(value).generate_state(1, np.uint64)[0], 0

    def next_state(self):
        with LOCK:
            self.state = self.state[0], self.state[1] + 1
            return self.state

    def numbers(self, state, size):
        return np.random.Generator(np.random.Philox(key=state)).random(size)

    def uniform(self, size):
        return self.numbers(self.next_state(), size)


class Buffered(Plain):
    """Draws 10,007 numbers ahead, and hands them on over the bounds of calls."""

    dtypes = ("float32",)

    def seed(self, value):
        super().seed(value)
        self.ahead = np.empty(0)

    def uniform(self, size):
        with LOCK:
            parts = [self.ahead]
            while sum(map(len, parts)) < size:
                parts.append(self.random.random(10_007))
            numbers = np.concatenate(parts)
            self.ahead = numbers[size:]
        return numbers[:size]


class Later(Array):
    """An array that is made when its values or its slope are first read."""

    def __init__(self, make, dtype):
        self.make, self.dtype = make, dtype

    @functools.cached_property
    def made(self):
        return self.make()

    @property
    def values(self):
        return self.made.values

    @property
    def slope(self):
        return self.made.slope


class Lazy(Keyed):
    """A call takes its state at once, and draws its mask when its output is read."""

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        if inplace or not train or not 0 < p < 1:
            return super().apply(x, p, train, inplace, shape_of_mask, formula)
        self.check_dtype(x)
        state, shape = self.next_state(), shape_of_mask(x)
        return Later(lambda: self.made(x, p, formula, state, shape), x.dtype)

    def made(self, x, p, formula, state, shape):
        with np.errstate(all="ignore"):
            values, slope = formula(x, self.numbers(state, shape) >= p, p)
        return Array(values, x.dtype, slope)


class Stateful(Plain):
    """Has a state that can be saved, and draws anew where its process is forked."""

    dtypes = ("float32",)
    forks = True

    def __init__(self):
        self.process = os.getpid()
        super().__init__()

    def get_state(self):
        return self.random.bit_generator.state

    def set_state(self, state):
        self.random.bit_generator.state = state

    def uniform(self, size):
        if os.getpid() != self.process:
            self.process, self.random = os.getpid(), self.generator(None)
        return super().uniform(size)


class Pullbacks(Plain):
    """Gradients that can be asked for later, and again, and tangents."""

    dtypes = ("float32", "float16")

    def linearize(self, fn, x):
        out = fn(Array(x.values.copy(), x.dtype))
        return out, functools.partial(self.gradient, out)

    def jvp(self, fn, x, tangent):
        out = fn(Array(x.values.copy(), x.dtype))
        return out, self.gradient(out, tangent)


class Node(Array):
    """An array of a network, which knows what it was made from, and how a cotangent goes back there."""

    def __init__(self, values, dtype, parents=(), slope=1.0):
        super().__init__(values, dtype, slope)
        self.parents = parents

    def __add__(self, other):
        values = rounded(self.values + other.values, self.dtype)
        return Node(values, self.dtype, ((self, lambda g: g), (other, lambda g: g)))

    def __mul__(self, other):
        values = rounded(self.values * other.values, self.dtype)
        return Node(values, self.dtype, ((self, lambda g: g * other.values), (other, lambda g: g * self.values)))

    def __ge__(self, number):
        return Node(self.values >= number, self.dtype)

    def __lt__(self, number):
        return Node(self.values < number, self.dtype)

    def swapaxes(self, one, other):
        return Node(self.values.swapaxes(one, other), self.dtype, ((self, lambda g: g.swapaxes(one, other)),))

    def reshape(self, shape):
        return Node(self.values.reshape(shape), self.dtype, ((self, lambda g: g.reshape(self.shape)),))

    def slope_by(self, leaf, cotangent):
        """What comes back to `leaf`; a broadcast axis is summed over."""
        if cotangent.ndim > self.values.ndim:
            cotangent = cotangent.sum(axis=tuple(range(cotangent.ndim - self.values.ndim)))
        if self is leaf:
            return cotangent
        back = [one.slope_by(leaf, rule(cotangent)) for one, rule in self.parents if one.leads_to(leaf)]
        return sum(back, np.zeros_like(leaf.values))

    def leads_to(self, leaf):
        return self is leaf or any(one.leads_to(leaf) for one, _ in self.parents)


class Networked(Plain):
    """Arrays that can be added, multiplied, compared and turned, with gradients back through all of that."""

    dtypes = ("float32", "bfloat16")
    vmap = checkpoint = None  # they make other arrays

    def asarray(self, x, dtype):
        made = super().asarray(x, dtype)
        return Node(made.values, made.dtype)

    def result(self, x, values, slope):
        parents = ((x, lambda g: g * slope),) if isinstance(x, Node) else ()
        return Node(values, x.dtype, parents, slope)

    def vjp(self, fn, x, cotangent):
        leaf = Node(x.values.copy(), x.dtype)
        out = fn(leaf)
        if not getattr(out, "parents", ()):
            return out, self.gradient(out, cotangent)
        with np.errstate(all="ignore"):
            return out, Array(rounded(out.slope_by(leaf, cotangent.values), x.dtype), x.dtype)
