"""Calls a backend on behalf of a case: every call into foreign code goes through here.

Arrays are channels first on our side, whatever the backend's layout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.contexts import Context
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.layout import Layout
from keeprate.specs.foreign import Seen, apart, brief, floats, foreign, in_thread, offered, pair
from keeprate.specs.neighbours import Network, turned_array
from keeprate.specs.rounding import Floats
from keeprate.specs.transforms import ROWS, rows_of
from keeprate.suite import BackendError, NotOffered, briefly

Function = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Mapped:
    """A native input, or cotangent, for a call that answers `ROWS` calls: `ROWS` times the same, or once.

    Args:
        turned: for a call among neighbours, what it was before it was turned.
    """

    native: Any
    stacked: bool
    turned: npt.NDArray[Any] | None = None


class Caller:
    """One operator of one backend in one dtype, called in one context.

    In a context with `vmap` a mapped call answers `ROWS` calls, one after another: each row is a call of its own. In
    the context `fused` it is a compiled function of so many calls among their neighbours. In the context `thread` the
    first call after seeding is made in this thread, each later one in a fresh thread.

    Args:
        stacked: in a context with `vmap`, whether the input is mapped over, or held fixed.
    """

    def __init__(
        self, backend: Any, contract: Contract, dtype: str, context: str = "eager", *, stacked: bool = True
    ) -> None:
        self.contract = contract
        self.dtype = dtype
        self.context = Context(context)
        self.writes = contract.writes or self.context.inplace
        self.layout = Layout(contract, backend.layout)
        self.wide = np.float64 if dtype == "float64" else np.float32  # what `asarray` is given
        self._backend = backend
        self._stacked = stacked
        self._functions: dict[tuple[type, float, bool], Function] = {}
        self._rows: list[Any] = []  # what a mapped call gave and nobody has asked for yet
        self._asked: tuple[Any, ...] = ()  # the call that they answer
        self._seeded = False  # no call was made since
        self._network: Network | None = None

    def seed(self, value: int) -> None:
        """Seeds the backend."""
        self._rows, self._seeded = [], True
        foreign("seed", self._backend.seed, value)

    def make_anew(self) -> None:
        """Lets functions and layers be made again when they are next called."""
        self._functions.clear()

    def takes_seed(self, value: int) -> bool:
        """False if the backend refuses `value` as a seed with `ValueError`, as a narrower framework may."""
        try:
            self._backend.seed(value)
        except ValueError:
            return False
        except Exception as error:  # as in `foreign`
            raise BackendError(f"seed raised {briefly(error)}") from error
        return True

    def get_state(self) -> Any:
        """The backend's random state."""
        return foreign("get_state", self._backend.get_state)

    def set_state(self, state: Any) -> None:
        """Puts a random state back."""
        self._rows = []
        foreign("set_state", self._backend.set_state, state)

    def native(self, x: Floats, *, strided: bool = False) -> Any:
        """A native array of `x` (channels first); in row-major order of the backend's layout, or `strided` like `x`."""
        moved = self.layout.to_theirs(x)
        if not self.context.mapped:
            array = self._array(apart(moved) if strided else np.array(moved, dtype=self.wide, order="C"))
            if self.context.name == "thread":
                self.raw(array)  # a lazy array is made in this thread, not in the one that calls
            return array
        if self.context.fused:
            if self._network is None:
                self._network = Network(self._array, self.seen, self.dtype, self.wide, moved.ndim)
            return Mapped(self._network.native(moved), stacked=False, turned=moved)
        given = np.stack([moved] * ROWS) if self._stacked else moved.copy(order="K")
        return Mapped(self._array(given), self._stacked)

    def _array(self, x: npt.NDArray[Any]) -> Any:
        return foreign("asarray", self._backend.asarray, x, self.dtype)

    def of_dtype(self, x: Floats, dtype: str) -> Any | None:
        """A native array of `x` in any dtype; None where `asarray` makes none."""
        given = np.array(self.layout.to_theirs(x), dtype=self.wide, order="C")
        try:
            native = foreign("asarray", self._backend.asarray, given, dtype)
            return native if self.dtype_of(native) == dtype else None
        except BackendError:
            return None

    def refusal(self, x: Any, p: float) -> BackendError | NotOffered | None:
        """What the operator raises on a native array of any dtype, at once or when its output is read."""
        try:
            foreign("asnumpy", self._backend.asnumpy, self.call(x, p))
        except (BackendError, NotOffered) as error:
            return error
        return None

    def raw(self, y: Any) -> npt.NDArray[Any]:
        """The values of a native array in the backend's layout.

        Raises:
            BackendError: what came back is not an array of floating-point numbers.
        """
        if isinstance(y, Seen):
            return y.values
        if isinstance(y, Mapped):
            values = self.raw(y.native)
            if y.turned is not None:
                return turned_array(values)
            return values[0] if y.stacked and values.ndim else values
        array = foreign("asnumpy", self._backend.asnumpy, y)
        if isinstance(array, np.floating):  # what NumPy makes of a 0-d array
            return np.asarray(array)
        return floats(array, self.contract.name)

    @property
    def packs(self) -> bool:
        """Whether the backend packs masks where its outputs are, and these are there when they are read."""
        there = callable(getattr(self._backend, "pack", None))
        return there and not self.context.mapped and self.context.name != "thread"

    def packed(self, y: Any, outcome: Any) -> npt.NDArray[np.uint8]:
        """Which elements of a native array equal those of another, as bits, by the backend."""
        bits = foreign("pack", self._backend.pack, y, outcome)
        if not isinstance(bits, np.ndarray) or bits.dtype != np.uint8:
            raise BackendError(f"pack gave {brief(bits)}, not one of uint8")
        return bits

    def values(self, y: Any) -> Floats:
        """The values of a native array as float64, channels first."""
        return self.layout.to_ours(self.raw(y)).astype(np.float64)

    def dtype_of(self, y: Any) -> str:
        """The name of a native array's dtype."""
        return y.dtype if isinstance(y, Seen) else foreign("dtype_of", lambda: str(self._backend.dtype_of(y)))

    def seen(self, y: Any) -> Seen:
        """`y`, read."""
        return Seen(self.raw(y), self.dtype_of(y))

    def call(self, x: Any, p: float, train: bool = True) -> Any:
        """The operator on a native array, in the caller's context."""
        if self.context.mapped:
            return self._row(("call", x, p, train), lambda: (self._mapped(x, p, train),))[0]
        if self.context.name == "thread" and not self._seeded:
            return in_thread(lambda: self.seen(self._call(x, p, train)))
        self._seeded = False
        return self._call(x, p, train)

    def _call(self, x: Any, p: float, train: bool) -> Any:
        return offered(self._what, self._function(p, train), x)

    @cached_property
    def _what(self) -> str:
        context = self.context
        if context.inplace:
            return f"{self.contract.name} in place"
        return f"{self.contract.name} under {context.name}" if context.needs else self.contract.name

    def _mapped(self, x: Mapped, p: float, train: bool) -> Any:
        if x.stacked or x.turned is not None:
            return self._call(x.native, p, train)
        operator = getattr(self._backend, self.contract.name)
        rows = self._array(np.arange(ROWS, dtype=self.wide))
        return offered(self._what, lambda: self._backend.vmap(lambda _: operator(x.native, p, train))(rows))

    def _row(self, asked: tuple[Any, ...], answer: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """The next row of each array that `answer` gives; a new answer where none is left, or another is asked for."""
        if not self._rows or self._asked != asked:
            stacks = [self.seen(array) for array in answer()]
            rows = zip(*(_split(stack) for stack in stacks), strict=True)
            self._rows, self._asked = [*rows], asked
        row: tuple[Any, ...] = self._rows.pop(0)
        return row

    @property
    def pending(self) -> bool:
        """True if the next call is answered by a row of the last mapped one."""
        return bool(self._rows)

    def at_once(self, inputs: Sequence[Sequence[Any]], p: float) -> list[Seen | BackendError]:
        """What the operator returns, or raises, for each input in training.

        Each group of inputs is called in a thread of its own, and the threads run at the same time.
        """
        start = threading.Barrier(len(inputs))

        def calls(group: Sequence[Any]) -> list[Seen | BackendError]:
            start.wait()
            return [self._seen_or_raised(x, p) for x in group]

        with ThreadPoolExecutor(len(inputs)) as pool:
            return [one for group in pool.map(calls, inputs) for one in group]

    def _seen_or_raised(self, x: Any, p: float) -> Seen | BackendError:
        try:
            return self.seen(self._call(x, p, train=True))
        except BackendError as error:
            return error

    def call_inplace(self, x: Any, p: float, train: bool) -> Any:
        """The operator's in-place form on a native array."""
        return offered(f"{self.contract.name} in place", self._inplace, x, p, train)

    @property
    def _inplace(self) -> Callable[[Any, float, bool], Any]:
        if self.contract.inplace != "inplace":
            form: Callable[[Any, float, bool], Any] = getattr(self._backend, self.contract.inplace)
            return form
        operator = getattr(self._backend, self.contract.name)
        return lambda x, p, train: operator(x, p, train, inplace=True)

    def vjp(self, x: Any, p: float, train: bool, cotangent: Any) -> tuple[Any, Any]:
        """Output and gradient of the operator, in the caller's context."""
        if self._network is not None:
            operator = getattr(self._backend, self.contract.name)
            self._network.try_gradients(self._vjp, lambda x: operator(x, p, False))
            return self._network.differentiate(self._vjp, self._function(p, train), x.native, cotangent.turned)
        if self.context.mapped:
            asked, function = ("vjp", x, p, train, cotangent), self._function(p, train)
            out, gradient = self._row(asked, lambda: self._vjp(function, x.native, cotangent.native))
            return out, gradient
        return self._vjp(self._function(p, train), x, cotangent)

    def _vjp(self, function: Function, x: Any, cotangent: Any) -> tuple[Any, Any]:
        what = f"vjp of {self._what}" if self.context.needs else "vjp"
        return pair("vjp", "gradient", offered(what, self._backend.vjp, function, x, cotangent))

    def linearize(self, x: Any, p: float, train: bool) -> tuple[Any, Function]:
        """Output of the operator, and what makes gradients of cotangents."""
        made = offered("linearize", self._backend.linearize, self._function(p, train), x)
        return pair("linearize", "pullback", made)

    def pulled_back(self, pullback: Function, cotangent: Any) -> Any:
        """What a pullback makes of a cotangent."""
        return offered("a pullback", pullback, cotangent)

    def jvp(self, x: Any, p: float, train: bool, tangent: Any) -> tuple[Any, Any]:
        """Output and tangent of the operator in forward-mode differentiation."""
        return pair("jvp", "tangent", offered("jvp", self._backend.jvp, self._function(p, train), x, tangent))

    def gradient(self, x: Any, p: float, train: bool, cotangent: Any) -> Any:
        """The gradient alone."""
        return self.vjp(x, p, train, cotangent)[1]

    def switch(self, p: float, within: Callable[[Any], Any] | None = None) -> Callable[[Any, bool], Any]:
        """The operator as a function of a native array and the mode, transformed once for both modes.

        A layer is transformed as it is, or in the container that `within` puts it in, and switched from outside.
        """
        operator = getattr(self._backend, self.contract.name)
        if not self.context.layered:
            function = self._transformed(lambda x, train: operator(x, p, train))
            return lambda x, train: offered(self._what, function, x, train)
        layer = self._layer(p) if within is None else within(self._layer(p))
        called = self._transformed(layer)

        def switched(x: Any, train: bool) -> Any:
            _set_mode(layer, train)
            return offered(self._what, called, x)

        return switched

    def _function(self, p: float, train: bool) -> Function:
        """The operator at `p`, transformed when first asked for."""
        asked = type(p), float(p), train  # a whole number is another argument
        if asked not in self._functions:
            operator = self._inplace if self.context.inplace else getattr(self._backend, self.contract.name)
            function: Function = lambda x: operator(x, p, train)  # noqa: E731
            if self.context.layered:
                function = self._layer(p)
                _set_mode(function, train)
            self._functions[asked] = self._transformed(function)
        return self._functions[asked]

    def _layer(self, p: float) -> Any:
        return offered("module", self._backend.module, self.contract.name, p)

    def _transformed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._network is not None:
            function = self._network.around(function)
        for name in self.context.transforms:
            function = offered(name, getattr(self._backend, name), function)
        return function


def _split(stack: Seen) -> list[Seen]:
    """The rows of a mapped output."""
    return [Seen(np.asarray(row), stack.dtype) for row in rows_of(stack.values)]


def _set_mode(layer: Any, train: bool) -> None:
    name = "train" if train else "eval"
    foreign(name, lambda: getattr(layer, name)())
