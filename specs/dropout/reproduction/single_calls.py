"""The same of single calls: what is refused, written, switched, and what needs no mask."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keeprate.specs.dropout.reproduction.masks import (
    CALL,
    CALLS,
    DROPPED,
    DTYPE,
    FUNCTION,
    KEPT,
    OPERATOR,
    SHAPE,
    WIDE,
    P,
    in_a_thread,
    is_kept,
    kept,
    native,
    operator,
    output,
    read,
    transformed,
)

RANKS = [(0, True, "taken")]  # rank, mode, and what PyTorch does
SHAPES: list[tuple[int, ...]] = [(1,)]
RATES = [("float", 0.3, 1 / 0.7, 0.0)]  # a type of p, p, and what PyTorch makes of a 1


def strides(backend: Any) -> None:
    function = FUNCTION(backend)
    values: Any = np.ones((*SHAPE[:-1], 2 * SHAPE[-1]) if SHAPE else (), WIDE)
    halved = values[..., ::2] if SHAPE else values
    for what, x in (("every other element", halved), ("a transpose", np.ones(SHAPE[::-1], WIDE).T)):
        seen = np.unique(read(backend, function(backend.asarray(x, DTYPE))))
        print(f"{what}, all 1: became {seen[:6].tolist()} (of PyTorch: {KEPT:.9g} and {DROPPED:.9g})")


def evaluation(backend: Any) -> None:
    for p in (0.0, 0.1, 0.5, 1.0):
        function = FUNCTION(backend, p, False)
        for value in (1.0, -0.5, float("inf")):
            y = CALL(backend, function, value)
            print(f"evaluation at p = {p}: inputs of {value} became {np.unique(y)[:6].tolist()} ([{value}])")
        slopes(backend, function, 1.0)


def endpoints(backend: Any) -> None:
    for p, promised in ((0.0, 1.0), (1.0, 0.0)):
        function = FUNCTION(backend, p)
        y = [CALL(backend, function, 1.0) for _ in range(CALLS)]
        print(f"training at p = {p}: inputs of 1 became {np.unique(y)[:6].tolist()} ([{promised}])")
        slopes(backend, function, promised)


def slopes(backend: Any, function: Any, promised: float) -> None:
    """Shows the gradient for a cotangent of 2, and the same in forward mode, as far as the backend has them."""
    for way, what in (("vjp", "gradient"), ("jvp", "tangent")):
        if hasattr(backend, way):
            slope = getattr(backend, way)(
                function, native(backend, np.ones(SHAPE)), native(backend, np.full(SHAPE, 2.0))
            )
            print(f"  with a {what} of {np.unique(read(backend, slope[1]))[:6].tolist()} ([{2 * promised}])")


def probabilities(backend: Any) -> None:
    for name, p, if_kept, if_dropped in RATES:
        what = f"p = {p:.6g} as {name}"
        try:
            out = operator(backend, native(backend, np.ones(SHAPE)), p if name == "float" else getattr(np, name)(p))
        except Exception as error:  # noqa: BLE001
            print(f"{what} was refused: {type(error).__name__} (taken)")
            continue
        y = read(backend, out)
        share = is_kept(y, if_kept, if_dropped).mean()
        print(f"{what}: {backend.dtype_of(out)} ({DTYPE}), {share:.4f} kept ({1 - p:.4f})")
        # In a narrow type of p, 1/(1 - p) has few digits.
        near = abs(y[..., None] - [if_kept, if_dropped]).min(axis=-1) < 0.02 * max(abs(if_kept), abs(if_dropped), 1.0)
        others = np.unique(y[~near])[:6].tolist()
        print(f"  of 1 it became, beside PyTorch's {if_kept:.9g} and {if_dropped:.9g}: {others or 'nothing'} (nothing)")


def attempt(backend: Any, shape: Any, dtype: str, p: float, train: bool) -> str:
    try:
        operator(backend, backend.asarray(np.ones(shape, WIDE), dtype), p, train)
    except Exception:  # noqa: BLE001
        return "refused"
    return "taken"


def arguments(backend: Any) -> None:
    for p in (-0.1, 1.5, float("nan"), 0.0, 1.0):
        for train in (True, False):
            did = attempt(backend, SHAPE, DTYPE, p, train)
            print(f"p = {p}, train = {train} was {did} ({'taken' if 0 <= p <= 1 else 'refused'})")
    for rank, train, promised in RANKS:
        did = attempt(backend, (2,) * rank, DTYPE, 0.3, train)
        print(f"an input of {rank} dimensions, train = {train}, was {did} ({promised})")
    for name in ("int32", "int64", "uint8", "bool", "complex64"):
        print(f"an input of {name} was {attempt(backend, SHAPE, name, 0.3, True)} (refused)")
    probabilities(backend)


def dtype(backend: Any) -> None:
    for train in (True, False):
        for p in (0.0, 0.3, 1 - 1e-5, 1.0):
            y = FUNCTION(backend, p, train)(native(backend, np.ones(SHAPE)))
            print(f"train = {train}, p = {p}: {backend.dtype_of(y)} ({DTYPE})")
    if hasattr(backend, "vjp"):
        parts = backend.vjp(FUNCTION(backend), native(backend, np.ones(SHAPE)), native(backend, np.ones(SHAPE)))
        for what, part in zip(("output", "gradient"), parts, strict=True):
            print(f"of a pass forward and back the {what}: {backend.dtype_of(part)} ({DTYPE})")


def shape(backend: Any) -> None:
    for one in SHAPES:
        y = read(backend, FUNCTION(backend)(native(backend, np.ones(one))))
        print(f"an input of shape {one} gave {y.shape} ({one})")


def inplace(backend: Any) -> None:
    for train in (True, False):
        x = native(backend, np.ones(SHAPE))
        y = operator(backend, x, P, train)
        print(f"train = {train}: the input is what was returned: {(read(backend, x) == read(backend, y)).all()} (True)")
        operator(backend, y, 1.0)
        print(f"after p = 1 on what was returned the input is {np.unique(read(backend, x))[:6].tolist()} ([0.0])")
    whole = native(backend, np.ones((2 * SHAPE[0], *SHAPE[1:])))
    try:
        half = whole[SHAPE[0] :]
    except Exception:  # noqa: BLE001
        return  # such arrays can't be sliced
    y = read(backend, operator(backend, half, P))
    print(f"the second half of an array is what was returned: {(read(backend, half) == y).all()} (True)")
    print(f"of 1 it became {np.unique(y)[:6].tolist()} (of PyTorch: {KEPT:.9g} and {DROPPED:.9g})")
    print(f"of 1 the first half became {np.unique(read(backend, whole)[: SHAPE[0]])[:6].tolist()} ([1.0])")


def purity(backend: Any) -> None:
    x, function = native(backend, np.ones(SHAPE)), FUNCTION(backend)
    for _ in range(CALLS):
        function(x)
    for p, train in ((P, False), (0.0, True), (1.0, True)):
        operator(backend, x, p, train)
    print(f"the input, all 1, is now {np.unique(read(backend, x))[:6].tolist()} ([1.0])")


def by_argument(backend: Any) -> Any:
    return transformed(backend, lambda x, train: operator(backend, x, P, train))


def by_mode(backend: Any) -> Any:
    made = backend.module(OPERATOR, P)
    called = transformed(backend, made)

    def switched(x: Any, train: bool) -> Any:
        made.train() if train else made.eval()
        return called(x)

    return switched


def modes(backend: Any) -> None:
    switch = SWITCH(backend)
    for train in (True, False, True, False):
        y = read(backend, switch(native(backend, np.ones(SHAPE)), train))
        print(f"train = {train}: inputs of 1 became {np.unique(y)[:6].tolist()} ({'two values' if train else '[1.0]'})")


def concurrency(backend: Any) -> None:
    start, function = threading.Barrier(4), FUNCTION(backend)

    def several(_: int) -> list[Any]:
        start.wait()
        return [output(backend, function, 1.0) for _ in range(8)]

    with ThreadPoolExecutor(4) as pool:
        y = np.array([one for part in pool.map(several, range(4)) for one in part])
    different = len({mask.tobytes() for mask in kept(y)})
    print(f"{different} different masks in {len(y)} calls of four threads ({len(y)})")
    print(f"outputs: {np.unique(y)[:6].tolist()} (of PyTorch: {KEPT:.9g} and {DROPPED:.9g})")
    fresh = []
    for seed in (1, 1, 2):
        backend.seed(seed)
        fresh.append(kept(np.array([in_a_thread(backend, function, 1.0)])).tobytes())
    print(f"in a fresh thread seed 1 gave one mask each time: {fresh[0] == fresh[1]} (True)")
    print(f"seed 2 gave another mask there: {fresh[2] != fresh[0]} (True)")


SWITCH = by_argument  # how the mode is changed
