"""Calls a backend's attention, plainly or in a context, and reads what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.places import Where
from keeprate.specs.foreign import Seen, floats, foreign, in_thread, offered, pair
from keeprate.specs.neighbours import Network
from keeprate.specs.rounding import Floats
from keeprate.specs.transforms import ROWS, rows_of, transforms_in
from keeprate.suite import BackendError, NotOffered


class Caller:
    """Attention of one backend, in one place and context.

    In a context with a transform, and where gradients are asked for, queries, keys and values are one array, with their
    heads one after another: that is what transforms and a vjp of one argument take.
    """

    def __init__(self, backend: Any, place: Where, context: str = "eager") -> None:
        self.place = place
        self._backend, self._context = backend, context
        self._fused = context == "fused"
        self._transforms = ("compile",) if self._fused else transforms_in(context)
        self.dtypes: set[str] = set()  # of all that came back
        self._functions: dict[tuple[float, bool, bool], Callable[..., Any]] = {}

    def channels(self, needed: int, wanted: int = 0) -> int:
        """Of each head: as many as a backend says that its heads have, or as are needed or wanted.

        Raises:
            NotOffered: it has too few.
        """
        offered = getattr(self._backend, "head_dim", None) or max(needed, wanted)
        if offered < needed:
            raise NotOffered(f"a mask of {self.place.shape[-1]} keys needs heads of {needed} channels, not {offered}")
        return int(offered)

    @property
    def mapped(self) -> bool:
        """True if calls are rows of one call."""
        return self._fused or "vmap" in self._transforms

    @cached_property
    def _network(self) -> Network:
        """What stands beside attention where it is compiled together with that."""
        return Network(self._array, lambda y: Seen(self.values(y), self.place.dtype), self.place.dtype, self._wide, 4)

    def seed(self, value: int) -> None:
        """Seeds the backend."""
        foreign("seed", self._backend.seed, value)

    def given(self, *inputs: Floats) -> list[Any]:
        """Native arrays to call with: of queries, keys and values, or of all together in a context with a transform."""
        return [self._together(inputs)] if self._transforms else [*map(self._array, inputs)]

    def _together(self, inputs: Sequence[Floats]) -> Any:
        """All of them as one array."""
        x = _joined(inputs)
        return self._network.native(x) if self._fused else self._array(np.stack([x] * ROWS) if self.mapped else x)

    def _array(self, x: npt.NDArray[Any]) -> Any:
        wide = np.array(x, dtype=self._wide, order="C")
        return foreign("asarray", self._backend.asarray, wide, self.place.dtype)

    @property
    def _wide(self) -> type[np.floating]:
        return np.float64 if self.place.dtype == "float64" else np.float32

    def outputs(self, given: Sequence[Any], p: float, train: bool = True) -> Iterator[npt.NDArray[Any]]:
        """Outputs of call after call, without end."""
        function = self._function(p, train)
        while True:
            if self._context == "thread":
                out = in_thread(lambda: self.values(self.called(function, given)))
            else:
                out = self.values(self.called(function, given))
            yield from self._rows(out)

    def output(self, given: Sequence[Any], p: float, train: bool = True) -> npt.NDArray[Any]:
        """One output."""
        return next(self.outputs(given, p, train))

    def lazily(self, given: Sequence[Any], p: float) -> Any:
        """A native output, not yet read."""
        return self.called(self._function(p, True), given)

    def called(self, function: Callable[..., Any], given: Sequence[Any]) -> Any:
        """What comes back, or why nothing did."""
        return offered(f"attention under {self._context}" if self._transforms else "attention", function, *given)

    def passes(self, inputs: Sequence[Floats], p: float, cotangent: Floats) -> Iterator[list[npt.NDArray[Any]]]:
        """Output and gradients of queries, keys and values, pass after pass."""
        x, function = self._together(inputs), self._function(p, True, together=True)
        for out, gradient in self._pairs(function, x, cotangent):
            yield [out, *self._parted(gradient)]

    def linearized(self, inputs: Sequence[Floats], p: float) -> tuple[Floats, Callable[[Floats], list[Floats]]]:
        """An output, and what gives the gradients of queries, keys and values for a cotangent, later and again."""
        function = self._function(p, True, together=True)
        made = offered("linearize", self._backend.linearize, function, self._together(inputs))
        out, pullback = pair("linearize", "pullback", made)

        def gradients(cotangent: Floats) -> list[Floats]:
            return self._parted(self.values(offered("linearize", pullback, self._array(cotangent))))

        return self.values(out), gradients

    def _parted(self, gradient: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        parts = self.place.parted(gradient)
        if parts is None:
            raise BackendError(f"vjp gave a gradient of shape {gradient.shape}")
        return parts

    def _pairs(
        self, function: Callable[..., Any], x: Any, cotangent: Floats
    ) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Outputs and gradients, those of a mapped call row by row; among neighbours, of each call by turns."""
        if self._fused:
            self._network.try_gradients(self._vjp)
            while True:
                both = self._network.differentiate(self._vjp, function, x, cotangent)
                yield both[0].values, both[1].values
        ct = self._array(np.stack([cotangent] * ROWS) if self.mapped else cotangent)
        while True:
            yield from zip(*(self._rows(self.values(one)) for one in self._vjp(function, x, ct)), strict=True)

    def _vjp(self, function: Callable[..., Any], x: Any, cotangent: Any) -> tuple[Any, Any]:
        return pair("vjp", "gradient", offered("vjp", self._backend.vjp, function, x, cotangent))

    def _rows(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        return rows_of(values) if self.mapped else [values]

    def values(self, y: Any) -> npt.NDArray[Any]:
        """The values of a native array.

        Raises:
            BackendError: what came back is no array of floating-point numbers.
        """
        array = foreign("asnumpy", self._backend.asnumpy, y)
        self.dtypes.add(foreign("dtype_of", lambda: str(self._backend.dtype_of(y))))
        return floats(array, "attention")

    def _function(self, p: float, train: bool, *, together: bool = False) -> Callable[..., Any]:
        """Attention at p, transformed when first asked for."""
        asked = p, train, together or bool(self._transforms)
        if asked not in self._functions:
            self._functions[asked] = self._made(*asked)
        return self._functions[asked]

    def _made(self, p: float, train: bool, together: bool) -> Callable[..., Any]:
        layered = self._context == "module"
        apart = self._layer(p, train) if layered else self.place.function(self._backend, p, train)
        function = self.place.packed(apart) if together else apart
        if self._fused:
            function = self._network.around(function)
        for name in self._transforms:
            function = offered(name, getattr(self._backend, name), function)
        return function

    def _layer(self, p: float, train: bool) -> Callable[..., Any]:
        layer = offered("module", self._backend.module, "attention", p)
        name = "train" if train else "eval"
        foreign(name, lambda: getattr(layer, name)())
        return layer  # type: ignore[no-any-return]


def _joined(inputs: Sequence[Floats]) -> Floats:
    """All heads one after another, with zeros behind the rows of the shorter."""
    if len(inputs) == 1:
        return inputs[0]
    rows = max(x.shape[2] for x in inputs)
    return np.concatenate([np.pad(x, ((0, 0), (0, 0), (0, rows - x.shape[2]), (0, 0))) for x in inputs], axis=1)
