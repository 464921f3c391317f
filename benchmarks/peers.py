"""The tests of dropout that frameworks and statistical libraries have today, restated for any operator of a backend.

Each is named after the test that it restates, with the commit of its source. What a test asks of its framework alone
(memory formats, warnings, `repr`) is left out; seeds are fresh, where the test's own seed is fixed.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.stats import bernoulli, chisquare

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError, NotOffered

HOEFFDING = math.ceil(math.log(2 / 1e-8) / (2 * 0.01**2))  # samples for 0.01 at one failure in 10⁸
DKWM = math.ceil(4 * math.log(2 / 1e-6) / (2 * 0.01**2))  # the same at 10⁻⁶, for the sample and for the test
SCORES = 4 * 9 * 113 * 203  # batch, heads, queries and keys
HALF = 0.5


class Subject:
    """An operator of a backend, in one context."""

    def __init__(self, backend: Any, op: str, dtype: str, context: str) -> None:
        self.contract, self.dtype = CONTRACTS[op], dtype
        self._backend = backend
        self.caller = Caller(backend, self.contract, dtype, context)
        self.seed()

    def seed(self, value: int | None = None) -> None:
        self.caller.seed(secrets.randbits(31) if value is None else value)

    def elsewhere(self, context: str) -> Subject | None:
        """The same operator in another context; None where it isn't plain here, or the backend lacks the other."""
        if self.caller.context.name != "eager" or self.contract.writes:
            return None
        other = Subject(self._backend, self.contract.name, self.dtype, context)
        try:
            other.outputs(np.ones(other.shape(100)), HALF)
        except NotOffered:
            return None
        return other

    def shape(self, entries: int) -> tuple[int, ...]:
        """A shape with so many mask entries, a multiple of 100."""
        if not self.contract.by_channel:
            return (entries,)
        return (entries // 100, 100) + (1,) * (max(self.contract.ranks) - 3) + (2,)

    def outputs(self, x: Floats, p: float, *, train: bool = True, strided: bool = False) -> Floats:
        if self.caller.context.name == "grad" and train:  # faulty where a gradient is asked for
            return self.gradients(x, p)[0]
        return self.caller.values(self.caller.call(self.caller.native(x, strided=strided), p, train))

    def gradients(self, x: Floats, p: float) -> tuple[Floats, Floats]:
        """Output and gradient, for a cotangent that is x."""
        out, gradient = self.caller.vjp(self.caller.native(x), p, True, self.caller.native(x))
        return self.caller.values(out), self.caller.values(gradient)

    def kept(self, y: Floats, p: float) -> np.ndarray:
        """(entries,) which outputs of x = 1/2 are nearer to PyTorch's kept outcome than to its dropped one."""
        table = reference.table(self.contract, self.dtype, p, (HALF,))
        near = abs(y - table.kept[0]) < abs(y - table.dropped[0])
        rank = len(self.contract.mask_shape(y.shape))
        return near.reshape(*y.shape[:rank], -1)[..., 0].reshape(-1)

    def mask(self, entries: int, p: float) -> np.ndarray:
        """(entries,) what is kept of them."""
        return self.kept(self.outputs(np.full(self.shape(entries), HALF), p), p)

    def refuses(self, p: float) -> bool:
        try:
            self.outputs(np.ones(self.shape(100)), p)
        except BackendError:
            return True
        return False


def pytorch(subject: Subject) -> bool:
    """test/nn/test_dropout.py at 09d3a86: test_Dropout, test_Dropout1d, 2d, 3d, test_AlphaDropout and its like."""
    return all(_alpha(subject) if subject.contract.preserves_moments else _pytorch(subject))


def _alpha(subject: Subject) -> Iterator[bool]:
    wide = subject.contract.by_channel
    shapes = [(1000, _few(), _few(2), _few(), _few()), (50, 20, 64, 64)] if wide else [(5000,)]
    for shape in shapes:
        x = np.random.default_rng().standard_normal(shape).astype(np.float32).astype(np.float64)
        for p in (0.2, 0.5, 0.8):
            y = subject.gradients(x, p)[0]
            yield abs(y.mean() - x.mean()) < 0.1
            yield abs(y.std() - x.std()) < 0.1
    yield from (subject.refuses(p) for p in (-0.1, 1.1))


def _pytorch(subject: Subject) -> Iterator[bool]:
    rank = max(subject.contract.ranks) if subject.contract.by_channel else 1
    shape = {
        1: (1000,),
        3: (_between(10, 15), _between(10, 15), _between(10, 15)),
        4: (1000, _few(), _few(), _few()),
        5: (1000, _few(), _few(2), _few(), _few()),
    }[rank]
    p, inplace = 0.2, subject.elsewhere("inplace")
    x = np.full(shape, 1 - p)
    for form in (subject, inplace) if inplace else (subject,):
        y, gradient = form.gradients(x, p)
        yield y.shape == x.shape and abs(y.mean() - (1 - p)) < 0.05
        yield abs(gradient.mean() - (1 - p)) < 0.05
        yield _same(form.outputs(x, p, train=False), x)
    if rank != 3:
        ones = np.empty((2, 3, 3, 6))[..., ::2]
        ones[...] = 1
        for rarely in (0.0, 1e-10):
            yield _same(subject.outputs(ones, rarely, strided=True), ones)
    if rank == 1:
        yield from _strides(subject)
        yield subject.outputs(np.empty((0,)), HALF).shape == (0,)
    else:
        ones = np.ones((10, 4, 2, 2, 2)[:rank])
        left = np.count_nonzero(subject.outputs(ones, HALF).reshape(40, -1), axis=1)
        yield set(left.tolist()) <= {0, ones[0, 0].size}
    if unbatched := [one for one in subject.contract.unbatched if one + 1 in subject.contract.ranks]:
        x = np.random.default_rng().random((50, 2, 2, 2)[: unbatched[0]])
        subject.seed(1)
        alone = subject.outputs(x, HALF)
        subject.seed(1)
        yield _same(subject.outputs(x[None], HALF)[0], alone)
    yield from (subject.refuses(p) for p in (-0.1, 1.1))


def _strides(subject: Subject) -> Iterator[bool]:
    ones = np.ones((2, 3, 4, 5))
    for order in itertools.permutations(range(4)):
        moved = np.ascontiguousarray(ones.transpose(order)).transpose(np.argsort(order))
        for first, second in itertools.product((0, 1), repeat=2):
            x = moved[first:, second:]
            for p in (1e-10, 0.3, 0.5, 0.7):
                y = subject.outputs(x, p, strided=True)
                yield abs(y.mean() - 1) <= 0.5 + 0.5 * abs(y.mean())
                yield _same(y, x) == (p == 1e-10)


def _few(most: int = 5) -> int:
    return _between(1, most)


def _between(least: int, most: int) -> int:
    return least + secrets.randbelow(most - least + 1)


def _same(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1.3e-6, atol=1e-5)


def jax(subject: Subject) -> bool:
    """tests/random_lax_test.py at ba3213c: testBernoulli, plain and compiled, by a chi-square test at 1 %."""
    compiled = subject.elsewhere("compile")
    for p in (0.1, 0.5, 0.9):
        for form in (subject, compiled) if compiled else (subject,):
            counts = np.bincount(form.mask(10_000, p), minlength=2)
            if not chisquare(counts, bernoulli(1 - p).pmf([0, 1]) * 10_000).pvalue > 0.01:
                return False
    return True


def flax(subject: Subject) -> bool:
    """tests/linen/linen_test.py at 9cff780: test_dropout, test_dropout_rate_stats, test_dropout_rate_limits."""
    x = np.ones(subject.shape(400))
    if np.array_equal(subject.outputs(x, HALF), subject.outputs(x, HALF)):
        return False
    if not np.array_equal(subject.outputs(x, HALF, train=False), subject.outputs(x, HALF, train=False)):
        return False
    for p in np.arange(0.1, 1.0, 0.1).tolist():
        kept = np.mean([subject.mask(10_000, p) for _ in range(10)])
        if not abs(kept - (1 - p)) < 4 * math.sqrt(p * (1 - p) / 100_000):
            return False
    dropped = reference.table(subject.contract, subject.dtype, 1.0, (1.0,)).dropped[0]
    ends = subject.outputs(x, 0.0), subject.outputs(x, 1.0)
    return bool(np.array_equal(ends[0], x) and np.array_equal(ends[1], np.full_like(x, dropped)))


def keras(subject: Subject) -> bool:
    """dropout_test.py and alpha_dropout_test.py of keras/layers/regularization at 57625f2, and the rates refused."""
    ones = np.ones(subject.shape(10_000))
    if subject.contract.preserves_moments:
        right = abs(subject.outputs(ones, 0.3).std() - 1) <= 0.1
    else:
        y = subject.outputs(ones, HALF)
        right = abs(y.mean() - 1) <= 0.02 and abs(y.max() - 2) <= 1e-4
    return bool(right and subject.refuses(-0.5) and subject.refuses(1.5))


def flash_attention(subject: Subject) -> bool:
    """tests/test_flash_attn.py at 765fbd9: what is dropped is within 0.01 of 0.17, and the rest is right."""
    p, entries = 0.17, SCORES // 100 * 100
    x = np.full(subject.shape(entries), HALF)
    y, gradient = subject.gradients(x, p)
    kept = subject.kept(y, p)
    if y.shape != x.shape or not abs(np.mean(kept) - (1 - p)) <= 0.01:
        return False
    one = np.full(subject.shape(100), HALF)
    for got, which in ((y, 0), (gradient, 1)):
        values = [reference.replay(subject.contract, subject.dtype, p, one, mask, one)[which] for mask in (0.0, 1.0)]
        right = np.where(kept, values[1].flat[0], values[0].flat[0]).reshape(subject.contract.mask_shape(x.shape))
        if not np.allclose(got, right.reshape(right.shape + (1,) * (got.ndim - right.ndim)), rtol=2e-3):
            return False
    return True


def pytest_stochastic(subject: Subject) -> bool:
    """The rule of pytest-stochastic: within 0.01 by Hoeffding's inequality, at its one failure in 10⁸."""
    return bool(abs(subject.mask(-(-HOEFFDING // 100) * 100, 0.3).mean() - 0.7) < 0.01)


def tensorflow_probability(subject: Subject) -> bool:
    """statistical_testing.py at bde41b6: assert_true_mean_equal_by_dkwm, of as many samples as show 0.01."""
    kept = subject.mask(-(-DKWM // 100) * 100, 0.3)
    return bool(abs(kept.mean() - 0.7) <= math.sqrt(math.log(2 / 1e-6) / (2 * kept.size)))


TESTS: dict[str, Callable[[Subject], bool]] = {
    "PyTorch": pytorch,
    "JAX": jax,
    "Flax": flax,
    "Keras": keras,
    "FlashAttention": flash_attention,
    "pytest-stochastic": pytest_stochastic,
    "TensorFlow Probability": tensorflow_probability,
}
