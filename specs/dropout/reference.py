"""PyTorch under a given mask: both outcomes of every element, and any mask replayed, output and gradient.

PyTorch's operators draw their mask with one `aten.bernoulli_`. A dispatch mode that answers this one call shows eager
PyTorch's own arithmetic for the mask that it is given. Arrays go in and out channels first, as float64 that holds the
dtype's values exactly.
"""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.given_mask import GivenMask, gradients, tensor, values
from keeprate.specs.rounding import Floats, bounds
from keeprate.suite import NotOffered


def function(contract: Contract) -> Callable[[torch.Tensor, float, bool], torch.Tensor]:
    """PyTorch's function for `contract`."""
    path = contract.reference.removeprefix("torch.")
    found: Callable[[torch.Tensor, float, bool], torch.Tensor] = operator.attrgetter(path)(torch)
    if contract.granularity == "row":
        return lambda x, p, train: found(x.flatten(1)[:, None], p, train).reshape(x.shape)
    return found


def call(contract: Contract, x: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    """PyTorch's answer; the input is not written to, and ranks that PyTorch only warns of are taken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(contract)(x.clone() if contract.writes else x, p, train)


def replay(
    contract: Contract,
    dtype: str,
    p: float,
    x: Floats,
    mask: Mask | float,
    cotangent: Floats | None = None,
    *,
    train: bool = True,
) -> tuple[Floats, Floats | None]:
    """PyTorch's output, and its gradient for `cotangent`, when the mask is `mask`.

    Args:
        contract: the operator.
        dtype: in which PyTorch computes.
        p: the probability that it is called with.
        x: the input, channels first.
        mask: of `contract.mask_shape(x.shape)`, true where kept; or 1.0 to keep all, 0.0 to drop all.
        cotangent: of x's shape, or None for no gradient.
        train: False for evaluation, where no mask is drawn.

    Raises:
        NoVerdictError: PyTorch drew its mask otherwise than with one `aten.bernoulli_` (none at p = 0 and p = 1).
    """
    leaf = tensor(x, dtype).requires_grad_(cotangent is not None)
    with GivenMask(mask) as mode:
        out = call(contract, leaf, p, train)
    mode.must_have_drawn(1 if train and 0 < p < 1 and x.size else 0, contract.reference, p)
    if cotangent is None:
        return values(out), None
    return values(out), gradients(out, tensor(cotangent, dtype), [leaf])[0]


def outcomes(contract: Contract, dtype: str, p: float, x: Floats, rounding: str = "") -> Outcomes:
    """Both outcomes of every element of `x`, of any shape that the operator takes.

    A dropped infinity or NaN is NaN in PyTorch, which multiplies; a framework that selects gives what a dropped zero
    becomes, and is right as well. `rounding` is the dtype to whose rounding they are, where it isn't `dtype`.
    """
    rounding = rounding or dtype
    kept, _ = replay(contract, dtype, p, x, 1.0)
    dropped, _ = replay(contract, dtype, p, x, 0.0)
    kept_zero, _ = replay(contract, dtype, p, np.zeros_like(x), 1.0)
    dropped_zero, _ = replay(contract, dtype, p, np.zeros_like(x), 0.0)
    kept_bounds = bounds(kept, kept_zero, rounding)
    selected = np.where(np.isfinite(x), dropped, dropped_zero)
    return Outcomes(kept, dropped, *kept_bounds, *bounds(selected, kept_zero, rounding))


@functools.lru_cache(maxsize=1024)
def table(contract: Contract, dtype: str, p: float, probes: tuple[float, ...]) -> Outcomes:
    """Both outcomes of every probe value, learned once; each is a sample of its own with one channel."""
    rank = max(contract.ranks)
    x = np.reshape(probes, (len(probes),) + (1,) * (rank - 1))
    return outcomes(contract, dtype, p, x).take((slice(None),) + (0,) * (rank - 1))


def without_mask(contract: Contract, dtype: str, p: float, x: Floats, *, train: bool) -> Floats:
    """PyTorch's output where it draws no mask: in evaluation, or in training at p = 0 and p = 1."""
    return replay(contract, dtype, p, x, 1.0, train=train)[0]


def contained(layer: Any) -> Any:
    """PyTorch's container with `layer` alone in it.

    Raises:
        NotOffered: it is no layer of PyTorch's.
    """
    if not isinstance(layer, torch.nn.Module):
        raise NotOffered("no layer of PyTorch's")
    return torch.nn.Sequential(layer)


def refuses(contract: Contract, dtype: str, p: float, shape: tuple[int, ...], train: bool) -> bool:
    """True if PyTorch raises on this call."""
    try:
        call(contract, torch.ones(shape, dtype=getattr(torch, dtype)), p, train)
    except (ValueError, RuntimeError):
        return True
    return False
