"""PyTorch on the CPU, as `keeprate.impl.backends.torch`, with `torch.compile` and its default compiler, Inductor."""

from collections.abc import Callable

import torch as _torch

from keeprate.impl.backends._torch_on import placed as _placed
from keeprate.impl.backends.torch import *  # noqa: F403

name = "torch-compile"


def use(where: str) -> None:  # type: ignore[no-redef]
    """Compute on one of `devices`: this module's own names, since others use the ones that it has from `torch`."""
    globals().update(_placed(where, asarray))  # noqa: F405


def compile(fn: Callable[..., _torch.Tensor]) -> Callable[..., _torch.Tensor]:
    """Compile fn, whatever was compiled before."""
    from torch._dynamo import config  # takes longer to import than all else here

    # After 8 traces of one line of code, PyTorch would go on in eager mode, with a warning.
    config.recompile_limit = config.accumulated_recompile_limit = 2**20
    return _torch.compile(fn)
