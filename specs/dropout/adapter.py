"""Whether an adapter does what it says, whatever the framework's operators do: arrays there and back, transforms."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import SPECIAL, filled, thousand
from keeprate.specs.foreign import dtypes_of, floats
from keeprate.suite import AdapterCheck, BackendError, briefly

SHAPES = ((), (3,), (0,), (2, 3), (2, 0, 3), (2, 3, 4), (2, 3, 4, 5))
PACKED = ((1,), (8,), (3, 5), (5, 13))
ROWS = 3
TAKES = {"seed": ("value",), **dict.fromkeys(CONTRACTS, ("x", "p", "train"))}
EPSILON = {"float32": 2**-23, "float64": 2**-52, "float16": 2**-10, "bfloat16": 2**-7}
EXPONENT = {"float32": 127, "float64": 1023, "float16": 15, "bfloat16": 127}  # of the largest number

# Only its author can tell which: a gate judges on, and the law `seeding` says so too.
EITHER = (
    ". Either this seed is not what the operators draw from, which is the adapter's fault, or the framework's is broken"
)


def check(backend: Any) -> Iterator[AdapterCheck]:
    """Looks at everything that the adapter alone is answerable for."""
    for dtype in dtypes_of(backend):
        yield _look(f"asarray and asnumpy keep {dtype}", _keeps, backend, dtype)
    yield _look("there is an operator to judge", _there, backend)
    yield _look("seed and operators take what they are called with", _callable, backend)
    yield _look("seed repeats a mask", _seeds, backend, law="seeding")
    for name, does, look in (
        ("get_state", "gives what set_state puts back", _restores),
        ("vjp", "differentiates a square", _differentiates),
        ("linearize", "differentiates a square, twice", _linearizes),
        ("jvp", "gives the tangent of a square", _pushes),
        ("compile", "leaves a square alone, in every call", _compiles),
        ("vmap", "leaves a square alone, row by row", _maps),
        ("checkpoint", "leaves a square and its gradient alone", _recomputes),
        ("module", "gives a layer that can be called and switched", _layer),
        ("pack", "tells what is equal, to the last bit", _packs),
    ):
        if callable(getattr(backend, name, None)):
            yield _look(f"{name} {does}", look, backend, law="state" if look is _restores else "")
        else:
            yield AdapterCheck(name, "", skipped="not offered")
    if callable(getattr(backend, "compile", None)):
        # What a framework can't do is the framework's: the law says so, and a gate judges on.
        what = "compile goes on to another shape and to gradients, with checkpoint where there is one"
        yield _look(what, _compiles_again, backend, law="gradient")


class _Skipped(Exception):  # noqa: N818 - no error: there is nothing to look at
    """Says why."""


def _look(what: str, function: Callable[..., str], *arguments: Any, law: str = "") -> AdapterCheck:
    try:
        return AdapterCheck(what, function(*arguments), law=law)
    except (_Skipped, NotImplementedError) as reason:
        return AdapterCheck(what, "", skipped=str(reason), law=law)
    except BackendError as found:  # of ours: what was given back is no array
        return AdapterCheck(what, str(found), law=law)
    except Exception as error:  # noqa: BLE001 - an adapter may raise anything, and that is what is looked for
        return AdapterCheck(what, f"raised {briefly(error)}", law=law)


def _keeps(backend: Any, dtype: str) -> str:
    wide = np.float64 if dtype == "float64" else np.float32
    epsilon, top = EPSILON[dtype], 2.0 ** EXPONENT[dtype]
    largest, least = (2 - epsilon) * top, 2 / top  # the least normal one; below it are the subnormal ones
    numbers = np.array([1 + epsilon, -2.5, 0.15625, largest, -least, 3 * epsilon * least, *SPECIAL])
    for shape in SHAPES:
        values = np.resize(numbers, shape)
        for x in (values.astype(wide), np.asfortranarray(values.astype(wide))):
            native = backend.asarray(x.copy(order="K"), dtype)
            if (name := backend.dtype_of(native)) != dtype:
                return f"dtype_of says {name!r} of what asarray made for {dtype!r}"
            back = np.asarray(backend.asnumpy(native))
            if back.shape != x.shape:
                return f"shape {x.shape} comes back as {back.shape}"
            if not (same := _same(back.astype(np.float64), x.astype(np.float64))).all():
                at = tuple(int(i) for i in np.argwhere(~same)[0])
                return f"{x[at]:g} comes back as {back[at]:g}"
    return ""


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where both are the same number, with the same sign, or both are none."""
    equal: npt.NDArray[np.bool_] = ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
    return equal


def _operators(backend: Any) -> list[str]:
    """Those that it has, callable or not."""
    return [name for name in CONTRACTS if getattr(backend, name, None) not in (None, False)]


def _there(backend: Any) -> str:
    if _operators(backend):
        return ""
    called = (name for name in dir(backend) if callable(getattr(backend, name, None)))
    meant = [f". Did you mean {near} for {name}?" for name in called for near in get_close_matches(name, CONTRACTS, 1)]
    return f"none of {', '.join(CONTRACTS)} is defined{meant[0] if meant else ''}"


def _callable(backend: Any) -> str:
    wrong = {name: reason for name in ("seed", *_operators(backend)) if (reason := _uncallable(backend, name))}
    others = ", ".join(list(wrong)[1:])
    return next(iter(wrong.values()), "") + (f"; nor can {others}" if others else "")


def _uncallable(backend: Any, name: str) -> str:
    """Why `name` can't be called as the protocol says; empty if it can, or if nothing tells what it takes."""
    try:  # no further than the function that is really called
        inspect.signature(getattr(backend, name), follow_wrapped=False).bind(*TAKES[name])
    except ValueError:  # some functions in C don't say
        return ""
    except TypeError as error:
        return f"{name} can't be called as {name}({', '.join(TAKES[name])}): {error}"
    return ""


def _drawing(backend: Any) -> tuple[str, Callable[[], npt.NDArray[Any]]]:
    """An operator, and a call of it that draws."""
    op = next((name for name in _operators(backend) if not _uncallable(backend, name)), None)
    if op is None or _uncallable(backend, "seed"):
        raise _Skipped("no seed and operator to call")
    dtype = dtypes_of(backend, op)[0]
    x = filled(CONTRACTS[op], dtype, thousand(CONTRACTS[op])).astype(np.float64 if dtype == "float64" else np.float32)
    if backend.layout == "channels_last":
        x = np.moveaxis(x, 1, -1)

    def draw() -> npt.NDArray[Any]:
        native = backend.asarray(x.copy(), dtype)  # for the operator may write to it
        return floats(backend.asnumpy(getattr(backend, op)(native, 0.5, True)), op).copy()

    return op, draw


def _seeds(backend: Any) -> str:
    op, draw = _drawing(backend)
    outputs = []
    for value in (1, 1, 2):
        backend.seed(value)
        outputs.append(draw())
    if not np.array_equal(outputs[0], outputs[1], equal_nan=True):
        return f"after seed(1) {op} gives one mask, after seed(1) again another{EITHER}"
    if np.array_equal(outputs[0], outputs[2], equal_nan=True):
        return f"after seed(1) and after seed(2) {op} gives the same mask{EITHER}"
    return ""


def _restores(backend: Any) -> str:
    op, draw = _drawing(backend)
    backend.seed(1)
    state = backend.get_state()
    output = draw()
    backend.set_state(state)
    if not np.array_equal(output, draw(), equal_nan=True):
        return f"after get_state() {op} gives one mask, after set_state() another{EITHER.replace('seed', 'state')}"
    return ""


def _square(x: Any) -> Any:
    return x * x


def _array(backend: Any, values: npt.NDArray[np.float32]) -> Any:
    """A native array that can be multiplied, as a framework may not do in every dtype."""
    for dtype in dtypes_of(backend):
        native = backend.asarray(values, dtype)
        with contextlib.suppress(Exception):
            backend.asnumpy(_square(native))
            return native
    raise _Skipped("its arrays can't be multiplied")


def _numbers(*shape: int) -> npt.NDArray[np.float32]:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _differs(backend: Any, native: Any, expected: npt.NDArray[Any], what: str) -> str:
    got = np.asarray(backend.asnumpy(native)).astype(np.float64)
    return "" if np.array_equal(got, expected) else f"{what} is {got.tolist()}, not {expected.tolist()}"


def _differentiates(backend: Any) -> str:
    return _passes(backend, _square)


def _passes(backend: Any, square: Callable[[Any], Any]) -> str:
    """What is wrong with a square and its gradient, however it was transformed."""
    x, ct = _numbers(3), 3 * _numbers(3)
    native = _array(backend, x)
    out, gradient = backend.vjp(square, native, backend.asarray(ct, backend.dtype_of(native)))
    return _differs(backend, out, x * x, "the square of [1, 2, 3]") or _differs(
        backend, gradient, 2 * x * ct, "its gradient times [3, 6, 9]"
    )


def _linearizes(backend: Any) -> str:
    x, native = _numbers(3), _array(backend, _numbers(3))
    out, pullback = backend.linearize(_square, native)
    for ct in (3 * x, x):
        gradient = pullback(backend.asarray(ct, backend.dtype_of(native)))
        if wrong := _differs(backend, gradient, 2 * x * ct, f"its gradient times {ct.tolist()}"):
            return wrong
    return _differs(backend, out, x * x, "the square of [1, 2, 3]")


def _pushes(backend: Any) -> str:
    x, tangent = _numbers(3), 3 * _numbers(3)
    native = _array(backend, x)
    out, pushed = backend.jvp(_square, native, backend.asarray(tangent, backend.dtype_of(native)))
    return _differs(backend, out, x * x, "the square of [1, 2, 3]") or _differs(
        backend, pushed, 2 * x * tangent, "its tangent along [3, 6, 9]"
    )


def _compiles(backend: Any) -> str:
    _array(backend, _numbers(3))
    function = backend.compile(_square)
    for x in (_numbers(3), 2 * _numbers(3)):
        if wrong := _differs(backend, function(_array(backend, x)), x * x, f"the square of {x.tolist()}"):
            return wrong
    return ""


def _compiles_again(backend: Any) -> str:
    """One function without a gradient on two shapes, and then with one: what was traced first may be taken for all."""
    checkpointed = callable(getattr(backend, "checkpoint", None))
    function = backend.compile(backend.checkpoint(_square) if checkpointed else _square)
    for x in (_numbers(3), _numbers(2, 4)):
        if wrong := _differs(backend, function(_array(backend, x)), x * x, f"the square of {x.tolist()}"):
            return wrong
    return _passes(backend, function) if callable(getattr(backend, "vjp", None)) else ""


def _packs(backend: Any) -> str:
    for dtype in dtypes_of(backend):
        for shape in PACKED:
            place = np.arange(int(np.prod(shape))).reshape(shape)
            y = np.choose(place * place % 3, [1.0, 1 + EPSILON[dtype], 0.0])
            for outcome in (1.0, 0.0):
                given = (backend.asarray(x.astype(np.float64), dtype) for x in (y, np.full(shape, outcome)))
                bits = np.asarray(backend.pack(*given))
                expected = np.packbits((y == outcome).reshape(-1), bitorder="little")
                if not np.array_equal(bits, expected):
                    return f"for {shape} of {dtype} it gives {bits.tolist()}, not {expected.tolist()}"
    return ""


def _maps(backend: Any) -> str:
    x = _numbers(ROWS, 2)
    return _differs(backend, backend.vmap(_square)(_array(backend, x)), x * x, f"the square of {x.tolist()}")


def _recomputes(backend: Any) -> str:
    x = _numbers(3)
    native = _array(backend, x)
    if wrong := _differs(backend, backend.checkpoint(_square)(native), x * x, "the square of [1, 2, 3]"):
        return wrong
    return _passes(backend, backend.checkpoint(_square)) if callable(getattr(backend, "vjp", None)) else ""


def _layer(backend: Any) -> str:
    for op in CONTRACTS:
        if not callable(getattr(backend, op, None)):
            continue
        try:
            layer = backend.module(op, 0.5)
        except NotImplementedError:
            continue
        lacking = [name for name in ("train", "eval", "__call__") if not callable(getattr(layer, name, None))]
        return f"the layer of {op} has no {', '.join(lacking)}" if lacking else ""
    raise _Skipped("no operator has a layer")
