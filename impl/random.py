"""Random state: where a mask's key comes from when the caller gives none.

Inside a transform of `impl.transforms`, from the key that the transform carries. Elsewhere from MLX's state, which each
thread has to itself. In MLX every thread starts from one and the same key; here a thread that still has it when it
first draws is seeded apart from all others.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


class _Thread(threading.local):
    carried: mx.array | None = None  # the key of the innermost transform
    apart = False  # its MLX state is no other thread's


class _Root:
    """Seeds for threads: the n-th that asks gets one that follows from the root's own seed and n."""

    def __init__(self, seed: int) -> None:
        self._seed, self._given, self._lock = seed, 0, threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._given += 1
            words = f"{self._seed} {self._given}".encode()
        return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest())


def seed(value: int) -> None:
    """Seed this thread, as `mx.random.seed` does, and all threads that first draw later.

    Args:
        value: 0 ≤ value < 2⁶⁴.
    """
    global _root
    mx.random.seed(value)
    _here.apart, _root = True, _Root(value)


def next_key() -> mx.array:
    """Return a key that nothing else draws from, (2,) uint32; the state moves on."""
    if _here.carried is not None:
        _here.carried, key = mx.random.split(_here.carried)
        return key
    if not _here.apart:
        _part()
    key = mx.random.split(mx.random.state[0])[1]  # type: ignore[index]  # MLX's stubs lack its state
    mx.random.bernoulli()  # moves the state on; never evaluated
    return key


@contextmanager
def drawing_from(key: mx.array) -> Iterator[None]:
    """Let all keys of this thread follow from `key`, (2,) uint32, instead of from MLX's state."""
    outer, _here.carried = _here.carried, key
    try:
        yield
    finally:
        _here.carried = outer


def _state() -> NDArray[np.uint32]:
    return np.array(mx.random.state[0])  # type: ignore[index]


def _first_state() -> NDArray[np.uint32]:
    states: list[NDArray[np.uint32]] = []
    thread = threading.Thread(target=lambda: states.append(_state()))
    thread.start()
    thread.join()
    return states[0]


def _part() -> None:
    try:
        untouched = np.array_equal(_state(), _FIRST)
    except ValueError:  # a bare mx.compile is tracing its random state, which has no value now
        return
    if untouched:
        mx.random.seed(_root.next())
    _here.apart = True


_here = _Thread()
_root = _Root(secrets.randbits(64))
_FIRST = _first_state()
_part()  # MLX seeds by the clock, in milliseconds: processes that start together would draw alike
