"""PyTorch under a given mask: a dispatch mode answers the one `aten.bernoulli_` with which its CPU kernels draw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from keeprate.specs.rounding import Floats
from keeprate.suite import NoVerdictError


class GivenMask(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's mode has no annotations
    """Answers calls of `aten.bernoulli_` with masks, and counts them.

    Args:
        masks: true where kept, of as many entries as are drawn; or 1.0 to keep all, 0.0 to drop all. One for each
            call, the last one for all that follow.
    """

    def __init__(self, *masks: npt.NDArray[np.bool_] | float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._masks = [
            torch.from_numpy(mask.astype(np.float64)) if isinstance(mask, np.ndarray) else float(mask) for mask in masks
        ]
        self._calls = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and saying so would import the compiler: more than a second

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        mask = self._masks[min(self._calls, len(self._masks) - 1)]
        self._calls += 1
        noise: torch.Tensor = args[0]
        if isinstance(mask, torch.Tensor):
            return noise.copy_(mask.reshape(noise.shape))
        return noise.fill_(mask)

    def must_have_drawn(self, expected: int, by: str, p: float) -> None:
        """Checks that `by` was given its mask.

        Raises:
            NoVerdictError: it drew another number of masks than `expected`.
        """
        if self._calls != expected:
            raise NoVerdictError(
                f"can't replay a mask through the reference: {by} at p = {p} drew {self._calls} masks with "
                f"aten.bernoulli_, not {expected} (torch {torch.__version__})"
            )


def tensor(x: npt.NDArray[Any], dtype: str) -> torch.Tensor:
    """A tensor of `dtype` with the values of `x`."""
    return torch.from_numpy(np.array(x, dtype=np.float64)).to(getattr(torch, dtype))


def values(x: torch.Tensor) -> Floats:
    """The exact values of a tensor, as float64."""
    return x.detach().to(torch.float64).numpy()


def gradients(out: torch.Tensor, cotangent: torch.Tensor, leaves: Sequence[torch.Tensor]) -> list[Floats]:
    """The exact gradients of `leaves` for `cotangent`, an array of `out`'s shape."""
    # As a factor, for as an argument it makes PyTorch import its symbolic shapes: half a second.
    return [values(gradient) for gradient in torch.autograd.grad((out * cotangent).sum(), leaves)]
