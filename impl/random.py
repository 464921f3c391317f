"""Random state: where a mask's key comes from when the caller gives none.

Inside a transform of `keeprate.impl.transforms`, from the key that the transform carries. Elsewhere from MLX's state,
which each thread has to itself. In MLX every thread starts from one and the same key; here a thread that still has it
when it first draws is seeded apart from all others.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

_HALF = mx.array(0.5)


class Keys:
    """Keys that follow from one key.

    Args:
        key: an `mx.random.key`, (2,) uint32.
    """

    def __init__(self, key: mx.array) -> None:
        self.key, self.drawn = key, False

    def next(self) -> mx.array:
        """Return the next key."""
        self.key, key = mx.random.split(self.key)
        self.drawn = True
        return key


class _Thread(threading.local):
    keys: Keys | None = None  # of the innermost transform
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


def get_state() -> int:
    """Return the random state of this thread, as a number."""
    if not _here.apart:
        _part()
    high, low = _state().tolist()
    return int(high << 32 | low)


def set_state(value: int) -> None:
    """Go back to a state, in this thread.

    Args:
        value: what `get_state` gave.
    """
    mx.random.seed(value)  # a key is a seed in two words
    _here.apart = True


def next_key() -> mx.array:
    """Return a key, (2,) uint32, that nothing else draws from; the state moves on."""
    if _here.keys is not None:
        return _here.keys.next()
    if not _here.apart:
        _part()
    key = mx.random.split(mx.random.state[0])[1]  # type: ignore[index]  # MLX's stubs lack its state
    mx.random.bernoulli(_HALF)  # moves the state on; never evaluated
    return key


def key_of_transform() -> mx.array:
    """Return a key, (2,) uint32, that no other kind of draw takes; the state stays as it is.

    A function that draws nothing then leaves no trace: a state that moves on without ever being evaluated is a
    chain that grows by 2 kB a call.
    """
    if _here.keys is not None:
        return mx.random.split(_here.keys.key, 3)[2]
    if not _here.apart:
        _part()
    return mx.random.split(mx.random.state[0], 3)[2]  # type: ignore[index]


@contextmanager
def drawing_from(key: mx.array) -> Iterator[Keys]:
    """Let all keys of this thread follow from one, instead of from MLX's state.

    Args:
        key: an `mx.random.key`, (2,) uint32.

    Yields:
        The keys, which know whether any was drawn.
    """
    outer, _here.keys = _here.keys, Keys(mx.stop_gradient(key))
    try:
        yield _here.keys
    finally:
        _here.keys = outer


def _state() -> NDArray[np.uint32]:
    return np.array(mx.random.state[0])  # type: ignore[index]


def _first_state() -> NDArray[np.uint32]:
    states: list[NDArray[np.uint32]] = []

    def read() -> None:
        states.append(_state())
        mx.clear_streams()  # without, MLX aborts the process as it exits

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return states[0]


def _part() -> None:
    try:
        untouched = np.array_equal(_state(), _FIRST)
    except ValueError as error:  # a bare mx.compile is tracing its random state, which has no value now
        raise RuntimeError(
            "a fresh thread first draws inside a bare mx.compile, where all threads draw alike: "
            "use keeprate.impl.transforms.compile, or call keeprate.impl.random.seed in the thread"
        ) from error
    if untouched:
        mx.random.seed(_root.next())
    _here.apart = True


_here = _Thread()
_root = _Root(secrets.randbits(64))
_FIRST = _first_state()
_part()  # MLX seeds by the clock, in milliseconds: processes that start together would draw alike
