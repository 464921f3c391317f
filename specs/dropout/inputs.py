"""The values that operators are called on: chosen so that kept and dropped outcomes stay apart in every dtype."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy

from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.rounding import Floats, least_normal, representable

AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])

PROBES = 64
PERIOD = (1 << 16) + 1  # after so many elements the order of the probes comes again: no step of two's powers meets it
EVEN = 0.5  # the p of masks that are compared with one another: two agree least often
NARROW = 1 << 31  # seeds from here on a narrow framework may refuse
BOUNDS = (0, 1, 2**32 - 1, 2**32, 2**48, 2**63 - 1)  # seeds: a state is all zeros, or a word is too short
MODES = ((0.3, True), (0.3, False), (0.0, True), (1.0, True))  # p, and whether in training
# The ordinary ones of ranks 4 and 5 have so many entries that a mask shared along an axis is not taken for chance.
SHAPES = {  # by rank: ordinary, with axes of length 1, empty in each position, and one sample alone
    0: ((),),
    1: ((1,), (7,), (0,)),
    2: ((3, 5), (1, 9), (9, 1), (0, 4), (4, 0)),
    3: ((2, 3, 5), (1, 4, 1), (2, 1, 3), (0, 3, 5), (2, 0, 5), (2, 3, 0), (1, 4, 5)),
    4: ((2, 3, 7, 8), (2, 3, 1, 1), (1, 1, 2, 3), (0, 3, 2, 2), (2, 0, 2, 2), (2, 3, 0, 2), (2, 3, 2, 0), (1, 4, 3, 5)),
    5: ((2, 3, 3, 4, 5), (1, 2, 1, 1, 3), (2, 3, 0, 2, 2), (1, 4, 2, 3, 2)),
}
GOLDEN = 5**0.5 / 2 + 0.5  # its multiples have digits without end, and lie far apart modulo 1
SPECIAL = (0.0, -0.0, float("inf"), float("-inf"), float("nan"))


@functools.cache
def probes(contract: Contract, dtype: str) -> tuple[float, ...]:
    """64 distinct finite values, exactly representable in `dtype`, none of them zero.

    For alpha dropout they are normal quantiles standardised to mean 0 and variance 1, before rounding: its promise is
    about such inputs. For the others they are of both signs and of sizes from 1/8 to 16, so that nothing overflows in
    float16 at p = 0.999. All have as many digits as the dtype, so that a value which went through a narrower one shows.
    """
    if contract.preserves_moments:
        quantiles = scipy.special.ndtri((np.arange(PROBES + 2) + 0.5) / (PROBES + 2))
        quantiles = np.delete(
            quantiles, [2, -3]
        )  # −1.77 can't be told kept from dropped in bfloat16; +1.77 for balance
        return tuple(representable(quantiles / quantiles.std(), dtype).tolist())
    number = np.arange(PROBES // 2)
    sizes = representable(np.ldexp(1 + (number % 8 + number * GOLDEN % 1) / 8, number // 8 * 2 - 3), dtype)
    return tuple(np.concatenate([sizes, -sizes]).tolist())


def indices(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Which probe stands where: each about equally often, in an order that follows no axis. Read-only."""
    size = math.prod(shape)
    which = np.resize(_order(min(size, PERIOD)), shape) if size > PERIOD else _order(size).reshape(shape)
    which.flags.writeable = False
    return which


@functools.lru_cache(maxsize=128)  # at most 8 MiB
def _order(size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).permutation(np.resize(np.arange(PROBES, dtype=np.uint8), size))


def filled(contract: Contract, dtype: str, shape: tuple[int, ...]) -> Floats:
    """An input of `shape` that holds the probe values."""
    return np.array(probes(contract, dtype))[indices(shape)]


def ordinary(contract: Contract) -> tuple[int, ...]:
    """A small shape of the rank that the operator is for."""
    return SHAPES[max(contract.ranks)][0]


def thousand(contract: Contract) -> tuple[int, ...]:
    """A shape of 1,024 mask entries: two independent masks agree with probability 2**-1024."""
    return (32, 32) + (2,) * (max(contract.ranks) - 2 if contract.by_channel else 0)


def many_thousands(contract: Contract) -> tuple[int, ...]:
    """A shape of 131,072 mask entries: more than the 10,000 from which on frameworks share them out to threads."""
    return (128, 1024) + (1,) * (max(contract.ranks) - 2 if contract.by_channel else 0)


def with_specials(x: AnyArray, every: int, specials: Sequence[float] = SPECIAL) -> AnyArray:
    """A copy of `x` in which each `every`-th element in row-major order is one of `specials` by turns."""
    copy = x.copy()
    places = copy.reshape(-1)[every - 1 :: every]
    places[:] = np.resize(specials, places.shape)
    return copy


def subnormal(dtype: str, shape: tuple[int, ...]) -> Floats:
    """Subnormal numbers of both signs, which are so also when they are doubled or scaled at a usual p."""
    sixteenths = np.array([2.0, 3.0, 4.0, 5.0, -2.0, -3.0, -4.0, -5.0])
    return np.resize(sixteenths / 16 * least_normal(dtype), shape)


def cotangent(shape: tuple[int, ...], dtype: str, seed: int) -> Floats:
    """A random cotangent of both signs, exactly representable in `dtype`, nowhere near zero. Read-only."""
    return _cotangent(math.prod(shape), dtype, seed).reshape(shape)


@functools.lru_cache(maxsize=16)  # all sizes of a plan in a dtype: some 15 MiB
def _cotangent(size: int, dtype: str, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    values = representable(random.uniform(0.5, 2.0, size) * random.choice((-1.0, 1.0), size), dtype)
    values.flags.writeable = False
    return values


def laid_out(x: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    """`x`, or a part of it, as a view that lies in memory as `layout` says.

    Raises:
        ValueError: there is no such layout.
    """
    match layout:
        case "":
            return x
        case "step2":
            return x[..., ::2]
        case "transposed":
            return np.ascontiguousarray(x.T).T
        case "remade":  # a transpose made contiguous
            return np.ascontiguousarray(x.swapaxes(0, -1))
        case "stride0":
            return np.broadcast_to(x[:1], x.shape)
        case "reversed":
            return x[::-1]
    raise ValueError(f"no layout '{layout}'")
