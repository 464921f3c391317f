"""A faithful backend in NumPy, made to be broken: a mutant is a subclass that overrides one of its hooks.

Values are kept in float32 (float64 for float64), and rounded to their dtype after every operation. An operator's output
carries its slope, the derivative by the input, which `vjp` multiplies with the cotangent.
"""

import copy
import math

import numpy as np

LIMIT = 1.7580993408473766  # SELU(x) → −LIMIT as x → −∞ (Klambauer et al. 2017)


class Array:
    """Values, the name of their dtype, and their derivative by the values that an operator made them from."""

    def __init__(self, values, dtype, slope=1.0):
        self.values = np.asarray(values)
        self.dtype = dtype
        self.slope = slope

    @property
    def shape(self):
        return self.values.shape

    def __getitem__(self, index):
        """A view of the same memory."""
        return Array(self.values[index], self.dtype)

    def __mul__(self, number):
        """Times a number; an array is multiplied with no other."""
        return (
            Array(rounded(self.values * number, self.dtype), self.dtype) if isinstance(number, int) else NotImplemented
        )


def rounded(values, dtype):
    """The nearest numbers of `dtype`, halves to even."""
    match dtype:
        case "float64":
            return np.asarray(values, np.float64)
        case "float16":
            return np.asarray(values, np.float16).astype(np.float32)
        case "bfloat16":
            bits = np.asarray(values, np.float32).view(np.uint32)
            return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    return np.asarray(values, np.float32)


class Recomputed(Array):
    """An output whose slope is found by calling `again`, when somebody asks for it."""

    def __init__(self, values, dtype, again):
        super().__init__(values, dtype)
        del self.slope
        self.again = again

    def __getattr__(self, name):
        if name != "slope":
            raise AttributeError(name)
        return self.again().slope


class Layer:
    """An operator at one p, in training or in evaluation."""

    def __init__(self, operator, p):
        self.operator, self.p, self.training = operator, p, True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, x):
        return self.operator(x, self.p, self.training)


class Plain:
    """Eight operators, channels first."""

    name = "plain"
    version = np.__version__
    device = "cpu"
    layout = "channels_first"
    dtypes = ("float32", "float64", "float16", "bfloat16")
    inplace = True

    def __init__(self):
        self.seed(None)

    # Arrays

    def asarray(self, x, dtype):
        """A copy of x with x's strides; between its first and its last element all memory is copied."""
        wide = np.float64 if dtype == "float64" else np.float32
        if x.size == 0:
            return Array(x.astype(wide), dtype)
        steps = [stride // x.itemsize for stride in x.strides]
        ends = [step * (length - 1) for step, length in zip(steps, x.shape, strict=True)]
        start = x[tuple(slice(-1, None) if step < 0 else slice(0, 1) for step in steps)]
        span = 1 + sum(map(abs, ends))
        with np.errstate(all="ignore"):  # what lies between the elements may be anything
            memory = np.lib.stride_tricks.as_strided(start, (span,), (x.itemsize,)).astype(wide)
        first = memory[-sum(end for end in ends if end < 0) :]
        return Array(np.lib.stride_tricks.as_strided(first, x.shape, [s * memory.itemsize for s in steps]), dtype)

    def asnumpy(self, x):
        return x.values

    def dtype_of(self, x):
        return x.dtype

    # Random numbers

    def seed(self, value):
        self.random = self.generator(value)

    def generator(self, seed):
        return np.random.Generator(np.random.SFC64(seed))

    def uniform(self, size):
        """`size` numbers in [0, 1)."""
        return self.random.random(size)

    def draw(self, shape, p):
        """A mask: True, kept, with probability 1 − p."""
        return (self.uniform(math.prod(shape)) >= p).reshape(shape)

    def mask(self, x, shape, p):
        """A mask of `shape` for x; its values must not matter."""
        return self.draw(shape, p)

    # Which entries share a draw

    def entries(self, x):
        return x.values.shape

    def channels(self, x):
        shape = x.values.shape
        if len(shape) < 2:
            raise ValueError(f"shape {shape} has no channels")
        return shape[:2] + (1,) * (len(shape) - 2)

    def channels_of_one(self, x):
        """Without a batch axis."""
        return x.values.shape[:1] + (1,) * (x.values.ndim - 1)

    # Arithmetic

    def scale(self, p, dtype):
        return 1 / (1 - p)

    def scaled(self, x, mask, p):
        """x·noise and its slope, noise = mask/(1 − p), as PyTorch rounds it."""
        noise = np.where(mask, rounded(self.scale(p, x.dtype), x.dtype), np.float32(0))  # the scale may be infinite
        return rounded(x.values * noise, x.dtype), noise

    def affine(self, p, dtype):
        """(a, b, d): a kept x becomes a·x + b, a dropped one a·d + b."""
        a = 1 / math.sqrt((LIMIT**2 * p + 1) * (1 - p))
        return a, LIMIT * a * p, -LIMIT

    def mapped(self, x, mask, p):
        """Alpha dropout and its slope, as PyTorch rounds it."""
        a, b, d = self.affine(p, x.dtype)
        noise, kept = mask * rounded(a, x.dtype), rounded(b, x.dtype)
        shift = np.where(mask, kept, rounded(rounded(d * a, x.dtype) + kept, x.dtype))
        return rounded(rounded(x.values * noise, x.dtype) + shift, x.dtype), noise

    # Modes

    def check(self, p, train):
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a probability")

    def check_dtype(self, x):
        if x.dtype not in Plain.dtypes:
            raise TypeError(f"no dropout of {x.dtype}")

    def evaluated(self, x, p):
        return x

    def all_kept(self, x):
        """Training at p = 0."""
        return x

    def all_dropped(self, x):
        """Training at p = 1: what it is, and its slope."""
        return x.values * 0, np.zeros_like(x.values)

    def result(self, x, values, slope):
        return Array(values, x.dtype, slope)

    def written(self, x, values, slope):
        """The result in place of x."""
        x.values[...] = values
        x.slope = slope
        return x

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        """Every operator: `formula` under a fresh mask, or what needs none."""
        self.check(p, train)
        p = float(p)
        if not train:
            return self.evaluated(x, p)
        if p == 0:
            return self.all_kept(x)
        with np.errstate(all="ignore"):  # infinities and NaN are inputs like any other
            if p == 1:
                values, slope = self.all_dropped(x)
            else:
                self.check_dtype(x)
                values, slope = formula(x, self.mask(x, shape_of_mask(x), p), p)
            return (self.written if inplace else self.result)(x, values, slope)

    # Operators

    def dropout(self, x, p, train, inplace=False):
        return self.apply(x, p, train, inplace, self.entries, self.scaled)

    def dropout_(self, x, p, train):
        return self.dropout(x, p, train, inplace=True)

    def feature_dropout(self, x, p, train, inplace=False):
        return self.apply(x, p, train, inplace, self.channels, self.scaled)

    def feature_dropout_(self, x, p, train):
        return self.feature_dropout(x, p, train, inplace=True)

    def dropout1d(self, x, p, train, inplace=False):
        if x.values.ndim not in (2, 3):
            raise ValueError(f"{x.values.ndim} dimensions, not 2 or 3")
        shape_of_mask = self.channels_of_one if x.values.ndim == 2 else self.channels
        return self.apply(x, p, train, inplace, shape_of_mask, self.scaled)

    def variational_dropout(self, x, p, train):
        """One mask for all steps of a sequence, (N, C, T)."""
        return self.dropout1d(x, p, train)

    def rows(self, x):
        return x.values.shape[:1] + (1,) * (x.values.ndim - 1)

    def drop_path(self, x, p, train):
        """One mask entry for each row of (N, …)."""
        return self.apply(x, p, train, False, self.rows, self.scaled)

    def embedding_dropout(self, x, p, train):
        """The same of a table of words."""
        return self.drop_path(x, p, train)

    def dropout2d(self, x, p, train, inplace=False):
        return self.apply(x, p, train, inplace, self.channels, self.scaled)

    def dropout3d(self, x, p, train, inplace=False):
        shape_of_mask = self.channels_of_one if x.values.ndim == 4 else self.channels
        return self.apply(x, p, train, inplace, shape_of_mask, self.scaled)

    def alpha_dropout(self, x, p, train, inplace=False):
        return self.apply(x, p, train, inplace, self.entries, self.mapped)

    def alpha_dropout_(self, x, p, train):
        return self.alpha_dropout(x, p, train, inplace=True)

    def feature_alpha_dropout(self, x, p, train, inplace=False):
        return self.apply(x, p, train, inplace, self.channels, self.mapped)

    def feature_alpha_dropout_(self, x, p, train):
        return self.feature_alpha_dropout(x, p, train, inplace=True)

    # Backward

    def vjp(self, fn, x, cotangent):
        out = fn(Array(x.values.copy(), x.dtype))
        return out, self.gradient(out, cotangent)

    def gradient(self, out, cotangent):
        with np.errstate(all="ignore"):
            return Array(rounded(cotangent.values * out.slope, out.dtype), out.dtype)

    # Transforms and layers

    def compile(self, fn):
        """There is nothing to compile in NumPy."""
        return lambda *arguments: fn(*arguments)

    def vmap(self, fn):
        """Calls fn for each row."""

        def mapped(x):
            rows = [fn(Array(values, x.dtype)) for values in x.values]
            slopes = [np.broadcast_to(row.slope, row.values.shape) for row in rows]
            return Array(np.stack([row.values for row in rows]), rows[0].dtype, np.stack(slopes))

        return mapped

    def checkpoint(self, fn):
        """Runs fn again in the backward pass, from the random state that the forward pass began with."""

        def checkpointed(x):
            before, state = Array(x.values.copy(), x.dtype), self.snapshot()
            out = fn(x)

            def again():
                after = self.snapshot()
                self.restore(state)
                try:
                    return fn(Array(before.values.copy(), before.dtype))
                finally:
                    self.restore(after)

            return Recomputed(out.values, out.dtype, again)

        return checkpointed

    def snapshot(self):
        """Everything that the next draws follow from."""
        return copy.deepcopy(vars(self))

    def restore(self, snapshot):
        """Goes back to a snapshot."""
        vars(self).update(copy.deepcopy(snapshot))

    def module(self, op, p):
        """A layer."""
        return Layer(getattr(self, op), p)
