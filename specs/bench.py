"""Calls a backend on behalf of a case: every call into foreign code goes through here.

Arrays are channels first on our side, whatever the backend's layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import BackendError
from specs.contracts import Contract
from specs.rounding import Floats


class Bench:
    """One operator of one backend in one dtype."""

    def __init__(self, backend: Any, contract: Contract, dtype: str) -> None:
        self.contract = contract
        self.dtype = dtype
        self.wide = np.float64 if dtype == "float64" else np.float32  # what `asarray` is given
        self._backend = backend

    def to_layout(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of `x` with its axes in the backend's order."""
        axis = self._moved_axis(x.ndim)
        return x if axis is None else np.moveaxis(x, axis, -1)

    def from_layout(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of `y` with its channels in front again."""
        axis = self._moved_axis(y.ndim)
        return y if axis is None else np.moveaxis(y, -1, axis)

    def _moved_axis(self, rank: int) -> int | None:
        axis = self.contract.channel_axis(rank) if self._backend.layout == "channels_last" else None
        return axis if axis is not None and axis < rank else None

    def seed(self, value: int) -> None:
        """Seeds the backend."""
        _foreign("seed", self._backend.seed, value)

    def takes_seed(self, value: int) -> bool:
        """False if the backend refuses `value` as a seed with `ValueError`, as a narrower framework may."""
        try:
            self._backend.seed(value)
        except ValueError:
            return False
        except Exception as error:  # as in `_foreign`
            raise BackendError(f"seed raised {type(error).__name__}: {_first_line(error)}") from error
        return True

    def native(self, x: Floats, *, strided: bool = False) -> Any:
        """A native array of `x` (channels first); in row-major order of the backend's layout, or `strided` like `x`."""
        moved = self.to_layout(x)
        if not strided:
            return _foreign("asarray", self._backend.asarray, np.array(moved, dtype=self.wide, order="C"), self.dtype)
        return _foreign("asarray", self._backend.asarray, moved, self.dtype)

    def raw(self, y: Any) -> npt.NDArray[Any]:
        """The values of a native array in the backend's layout.

        Raises:
            BackendError: what came back is not an array of floating-point numbers.
        """
        array = _foreign("asnumpy", self._backend.asnumpy, y)
        if isinstance(array, np.floating):  # what NumPy makes of a 0-d array
            return np.asarray(array)
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise BackendError(f"asnumpy gave {_brief(array)} for what {self.contract.name} returned, not floats")
        return array

    def values(self, y: Any) -> Floats:
        """The values of a native array as float64, channels first."""
        return self.from_layout(self.raw(y)).astype(np.float64)

    def dtype_of(self, y: Any) -> str:
        """The name of a native array's dtype."""
        return str(_foreign("dtype_of", self._backend.dtype_of, y))

    def call(self, x: Any, p: float, train: bool = True) -> Any:
        """The operator on a native array."""
        return _foreign(self.contract.name, getattr(self._backend, self.contract.name), x, p, train)

    def call_inplace(self, x: Any, p: float, train: bool) -> Any:
        """The operator's in-place form on a native array."""
        if self.contract.inplace == "inplace":
            operator = getattr(self._backend, self.contract.name)
            return _foreign(self.contract.name, lambda: operator(x, p, train, inplace=True))
        return _foreign(self.contract.inplace, getattr(self._backend, self.contract.inplace), x, p, train)

    def vjp(self, x: Any, p: float, train: bool, cotangent: Any) -> tuple[Any, Any]:
        """Output and gradient of the operator."""
        operator = getattr(self._backend, self.contract.name)
        pair = _foreign("vjp", self._backend.vjp, lambda x: operator(x, p, train), x, cotangent)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise BackendError(f"vjp gave {_brief(pair)}, not a pair of output and gradient")
        return pair

    def gradient(self, x: Any, p: float, train: bool, cotangent: Any) -> Any:
        """The gradient alone."""
        return self.vjp(x, p, train, cotangent)[1]


def _foreign(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # a backend may raise anything, and that becomes a finding
        raise BackendError(f"{what} raised {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["(no message)"])[0][:200]


def _brief(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
