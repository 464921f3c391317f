"""Whether a layer is training, noted for the compiled function that depends on it."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

from mlx.nn.layers.base import Module


class Modes:
    """The layers that a function has asked for their mode, and what each answered first."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[int, weakref.ref[Module], bool]] = {}
        self._places = count()

    def note(self, layer: Module) -> None:
        """Note the layer's mode, if it wasn't noted before."""
        if id(layer) not in self._first:
            # A layer that lives for one call is forgotten with it.
            ref = weakref.ref(layer, partial(self._first.pop, id(layer)))
            self._first[id(layer)] = next(self._places), ref, layer.training

    def layers(self) -> Iterator[Module]:
        """Iterate over the layers noted."""
        return (layer for _, ref, _ in list(self._first.values()) if (layer := ref()) is not None)

    def changed(self) -> tuple[int, ...]:
        """Return numbers of the layers whose mode is another now."""
        first = list(self._first.values())
        return tuple(place for place, ref, mode in first if (layer := ref()) is not None and layer.training != mode)


class _Thread(threading.local):
    noted: Modes | None = None  # of the innermost function that is compiled


_here = _Thread()


def training(layer: Module) -> bool:
    """Return `layer.training`, and note it."""
    if _here.noted is not None:
        _here.noted.note(layer)
    return bool(layer.training)


@contextmanager
def noting(modes: Modes) -> Iterator[None]:
    """Note in `modes` the layers that are asked for their mode, and then wherever this stands."""
    outer, _here.noted = _here.noted, modes
    try:
        yield
    finally:
        _here.noted = outer
        if outer is not None:
            for layer in modes.layers():
                outer.note(layer)
