"""Whether a layer is training, noted for the compiled function that depends on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlx.nn.layers.base import Module

Modes = dict[int, tuple[Module, bool]]  # by the layer's id: the layer, and its mode when it was first asked


class _Thread(threading.local):
    noted: Modes | None = None  # of the innermost function that is compiled


_here = _Thread()


def training(layer: Module) -> bool:
    """Return `layer.training`, and note it."""
    if _here.noted is not None:
        _here.noted.setdefault(id(layer), (layer, layer.training))
    return bool(layer.training)


@contextmanager
def noting(modes: Modes) -> Iterator[None]:
    """Note in `modes` the layers that are asked for their mode."""
    outer, _here.noted = _here.noted, modes
    try:
        yield
    finally:
        _here.noted = outer
        if outer is not None:
            for name, noted in modes.items():
                outer.setdefault(name, noted)


def changed(modes: Modes) -> tuple[int, ...]:
    """Return the places in `modes` of the layers whose mode is another now."""
    return tuple(place for place, (layer, mode) in enumerate(list(modes.values())) if training(layer) != mode)
