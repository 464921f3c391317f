"""A faithful attention in NumPy, made to be broken: a mutant is a subclass that overrides one of its hooks.

Values are kept in float64 and rounded to their dtype at the end. An output knows how gradients flow back from it.
"""

import copy

import numpy as np
import torch

from keeprate.impl.backends import torch as pytorch


def rounded(values, dtype):
    """The nearest numbers of `dtype`."""
    exact = torch.from_numpy(np.ascontiguousarray(values, np.float64)).to(getattr(torch, dtype))
    return exact.to(torch.float64).numpy()


class Array:
    """Values and their dtype; what an output is made of, or which heads of an array these are."""

    def __init__(self, values, dtype, back=None, part=None):
        self.values, self.dtype, self.back, self.part = np.asarray(values), dtype, back, part

    def __getitem__(self, index):
        return Array(self.values[index], self.dtype, part=index)


class Layer:
    def __init__(self, backend, p):
        self.backend, self.p, self.training = backend, p, True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, q, k, v):
        return self.backend.attention(q, k, v, self.p, False, self.training)


class Plain:
    name = "plain"
    version = np.__version__
    dtypes = ("float32", "float64", "float16", "bfloat16")

    def __init__(self):
        self.seed(None)

    def asarray(self, x, dtype):
        return Array(rounded(x, dtype), dtype)

    def asnumpy(self, x):
        return x.values if x.dtype == "float64" else x.values.astype(np.float32)

    def dtype_of(self, x):
        return x.dtype

    # Random numbers

    def seed(self, value):
        self.random = self.generator(value)

    def generator(self, seed):
        return np.random.Generator(np.random.SFC64(seed))

    def uniform(self, shape):
        return self.random.random(shape)

    def draw(self, shape, p):
        """A mask: True, kept, with probability 1 − p."""
        return self.uniform(shape) >= p

    def mask(self, shape, p, q, k):
        """A mask, (B, H, L, S), for these queries and keys, whose values must not matter."""
        return self.draw(shape, p)

    # The operator

    def check(self, p):
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a probability")

    def factor(self, p, dtype):
        return 1 / (1 - p) if p < 1 else 0.0

    def score_scale(self, channels):
        return channels**-0.5

    def seen(self, queries, keys, causal):
        every = np.ones((queries, keys), bool)
        return np.tril(every) if causal else every

    def softmax(self, scores, seen):
        weights = np.exp(np.where(seen, scores - scores.max(axis=-1, keepdims=True), -np.inf))
        return weights / weights.sum(axis=-1, keepdims=True)

    def dropped(self, weights, noise):
        """The weights after dropout."""
        return weights * noise

    def noise(self, mask, p, dtype):
        return mask * self.factor(p, dtype)

    def for_gradient(self, noise, of):
        """The noise in the gradient of `values`, `queries` or `keys`, of which it must be the output's."""
        return noise

    def training_at_0(self, shape):
        return np.ones(shape, bool)

    def training_at_1(self, shape):
        return np.zeros(shape, bool)

    def noise_in_evaluation(self, shape, p):
        return np.ones(shape)

    def attention(self, q, k, v, p, causal, train):
        self.check(p)
        shape = (*q.values.shape[:3], k.values.shape[2])
        if not train:
            noise = self.noise_in_evaluation(shape, p)
        elif p in (0, 1):
            noise = self.noise(self.training_at_1(shape) if p else self.training_at_0(shape), p, q.dtype)
        else:
            noise = self.noise(self.mask(shape, p, q.values, k.values), p, q.dtype)
        return self.attended(q, k, v, noise, self.seen(*shape[2:], causal))

    def attended(self, q, k, v, noise, seen):
        """Output and what it is made of."""
        times, scale = q.values.shape[1] // k.values.shape[1], self.score_scale(q.values.shape[-1])
        keys, values = (np.repeat(x.values, times, axis=1) for x in (k, v))
        weights = self.softmax(q.values @ keys.swapaxes(-1, -2) * scale, seen)
        out = self.dropped(weights, noise) @ values

        def back(ct):
            def of_scores(of):
                by_weight = ct @ values.swapaxes(-1, -2) * self.for_gradient(noise, of)
                return weights * (by_weight - (by_weight * weights).sum(axis=-1, keepdims=True)) * scale

            def summed(gradient):
                return gradient.reshape(*k.values.shape[:2], times, *gradient.shape[2:]).sum(axis=2)

            for_keys = summed(of_scores("keys").swapaxes(-1, -2) @ q.values)
            for_values = summed((weights * self.for_gradient(noise, "values")).swapaxes(-1, -2) @ ct)
            return [(q, of_scores("queries") @ keys), (k, for_keys), (v, for_values)]

        return self.result(out, q.dtype, back)

    def result(self, out, dtype, back):
        return Array(rounded(out, dtype), dtype, back)

    # Transforms

    def vjp(self, fn, x, cotangent):
        out, pullback = self.linearize(fn, x)
        return out, pullback(cotangent)

    def linearize(self, fn, x):
        out = fn(x)

        def pullback(cotangent):
            gradient = np.zeros(x.values.shape)
            self.flow_back(out, cotangent.values, gradient)
            return Array(rounded(gradient, x.dtype), x.dtype)

        return out, pullback

    def flow_back(self, out, ct, gradient):
        if isinstance(out, Stacked):
            for row, row_ct, row_gradient in zip(out.rows, ct, gradient, strict=True):
                self.flow_back(row, row_ct, row_gradient)
            return
        for argument, flow in out.back(ct):
            gradient[argument.part] += flow

    def compile(self, fn):
        return fn

    def checkpoint(self, fn):
        def checkpointed(x):
            before = copy.deepcopy(self.random)
            out = fn(x)

            def back(ct):
                after, self.random = self.random, self.before_again(before)
                again = fn(x)
                self.random = after
                return again.back(ct)

            return Array(out.values, out.dtype, back)

        return checkpointed

    def before_again(self, before):
        """The random state from which a checkpoint computes again."""
        return copy.deepcopy(before)

    def vmap(self, fn):
        return lambda x: Stacked([fn(Array(row, x.dtype)) for row in x.values])

    def module(self, op, p):
        return Layer(self, p)


class Stacked(Array):
    def __init__(self, rows):
        super().__init__(np.stack([row.values for row in rows]), rows[0].dtype)
        self.rows = rows


class Philox(Plain):
    """24-bit numbers from a counter; the weights are normalised after the product."""

    def generator(self, seed):
        return np.random.Generator(np.random.Philox(seed))

    def uniform(self, shape):
        return self.random.integers(0, 1 << 24, shape) / (1 << 24)


class Thresholds(Plain):
    """32-bit words against a threshold, drawn for the last axis first; each thread has a generator of its own."""

    def draw(self, shape, p):
        words = self.random.integers(0, 1 << 32, shape[::-1], dtype=np.uint32).T
        return words >= round(p * (1 << 32))


class Compiled:
    """PyTorch's attention, with arrays that can stand in a network, which knows what it compiles together."""

    name, version, dtypes = "compiled", torch.__version__, pytorch.dtypes
    seed, asarray, asnumpy = staticmethod(pytorch.seed), staticmethod(pytorch.asarray), staticmethod(pytorch.asnumpy)
    dtype_of, vjp = staticmethod(pytorch.dtype_of), staticmethod(pytorch.vjp)
    states = None  # of the generator, by what was called with them, in a compiled function

    def attention(self, q, k, v, p, causal, train):
        return pytorch.attention(q, k, v, p, causal, train)

    def compile(self, fn):
        def compiled(x):
            self.states = {}
            try:
                return fn(x)
            finally:
                self.states = None

        return compiled
