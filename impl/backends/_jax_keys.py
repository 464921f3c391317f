"""Streams of JAX keys."""

import threading
from collections.abc import Callable
from typing import Any

import jax


class Keys:
    """A stream of keys."""

    def __init__(self, key: Any) -> None:
        self.key, self._lock = key, threading.Lock()

    def next(self) -> Any:
        """A key that was never given before."""
        with self._lock:
            self.key, drawn = jax.random.split(self.key)
        return drawn

    def through(self, call: Callable[[Any], tuple[Any, Any]]) -> Any:
        """What a call gives that takes the key and gives another one, too."""
        with self._lock:
            out, self.key = call(self.key)
        return out
