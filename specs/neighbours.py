"""What stands beside an operator in a network: written in the operators of native arrays, and it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.foreign import Seen, foreign
from keeprate.specs.transforms import ROWS
from keeprate.suite import BackendError, NotOffered

Array = npt.NDArray[Any]
Function = Callable[[Any], Any]
Vjp = Callable[[Function, Any, Any], tuple[Any, Any]]  # of a function, an input and a cotangent


def turned(x: Any) -> Any:
    """A native array with its first and its last axis exchanged."""
    return (x.swapaxes if hasattr(x, "swapaxes") else x.transpose)(0, -1)


def turned_array(x: Array) -> Array:
    """The same of an array that was read; as it is where it has too few axes."""
    return x.swapaxes(0, -1) if x.ndim > 1 else x


def beside(function: Function, ones: Sequence[Any]) -> Function:
    """Calls of `function`, as many as `ones`, in one function of a turned array; their results lie in a row each.

    The first takes a transpose, the others both take the same: what a relu makes of it, with what it made 0 added again
    (of infinities and NaN that would be something else). The relu lets a gradient through at 0, which is what attention
    is given to show its mask. Behind each stand a broadcast product and an addition.
    """

    def among(x: Any) -> Any:
        transposed = turned(x)
        contiguous = transposed.reshape(-1).reshape(transposed.shape)
        whole = contiguous * (contiguous >= 0) + contiguous * (contiguous < 0)
        first, *others = ones
        out = first * function(transposed)
        for one in others:
            out = out + one * function(whole)
        return out

    return among


class Network:
    """Functions of arrays of one rank, in which an operator stands among its neighbours.

    Args:
        array: makes a native array.
        seen: reads one.
        dtype: of the arrays.
        wide: the type of what `array` is given.
        rank: the arrays'.

    Raises:
        NotOffered: without the operator, and with nothing compiled, it is not the identity, or raises.
    """

    def __init__(
        self, array: Callable[[Array], Any], seen: Callable[[Any], Seen], dtype: str, wide: type[Any], rank: int
    ) -> None:
        self._array, self._seen, self._dtype, self._wide = array, seen, dtype, wide
        self._trial = np.resize(np.array((1, -2, 3, 0, 5, -7, 11, -0.5, 0), wide), tuple(range(2, 2 + rank)))
        self._given: tuple[Array, list[Any]] | None = None  # a cotangent, and for each row what is 0 in all others
        self._row = 0
        self._differentiable = False
        try:
            self._ones = [array(row.reshape(ROWS, *(1,) * rank)) for row in np.eye(ROWS, dtype=wide)]
            y = seen(foreign("a network without the operator", self.around(_same), self.native(self._trial)))
        except BackendError as error:
            raise NotOffered(str(error)) from error
        self._must_be(y, np.stack([self._trial] * ROWS))

    def native(self, x: Array) -> Any:
        """`x`, turned, as what the functions take."""
        return self._array(np.array(turned_array(x), dtype=self._wide, order="C"))

    def around(self, function: Function) -> Function:
        """`function` among its neighbours."""
        return beside(function, self._ones)

    def differentiate(self, vjp: Vjp, function: Function, x: Any, cotangent: Array) -> tuple[Seen, Seen]:
        """Output and gradient of one of the calls in `function`, of each by turns: the others have a cotangent of 0."""
        if self._given is None or self._given[0] is not cotangent:
            rows = np.eye(ROWS, dtype=self._wide).reshape(ROWS, ROWS, *(1,) * cotangent.ndim)
            self._given = cotangent, [self._array(row * cotangent) for row in rows]
        self._row = (self._row + 1) % ROWS
        out, gradient = map(self._seen, vjp(function, x, self._given[1][self._row]))
        y, slope = out.values, gradient.values
        return (
            Seen(y[self._row] if y.ndim and len(y) == ROWS else y[None], out.dtype),
            Seen(turned_array(slope), gradient.dtype),
        )

    def try_gradients(self, vjp: Vjp, *others: Function) -> None:
        """Looks once at the gradients without the operator, and with others that are the identity as well.

        Raises:
            NotOffered: with nothing compiled they are wrong, or `vjp` raises.
        """
        if self._differentiable:
            return
        cotangent = self._trial[..., ::-1].copy()
        try:
            for function in (_same, *others):
                for _ in range(ROWS):
                    y, slope = self.differentiate(vjp, self.around(function), self.native(self._trial), cotangent)
                    self._must_be(y, self._trial)
                    self._must_be(slope, cotangent)
        except BackendError as error:
            raise NotOffered(f"in a network with nothing compiled: {error}") from error
        self._differentiable = True

    def _must_be(self, y: Seen, values: Array) -> None:
        if y.dtype != self._dtype or not np.array_equal(y.values, values):
            raise NotOffered("a network without the operator, with nothing compiled, gives other values or gradients")


def _same(x: Any) -> Any:
    return x
