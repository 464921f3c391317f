"""Dropout in Numba, on NumPy's arrays, and the same with too few counters reserved."""

import threading

import numba
import numpy as np

state = {"seed": 0, "counter": 0}  # what a seed sets, and the next number that nobody has drawn
lock = threading.Lock()


def seed(value):
    """Begin again."""
    state.update(seed=value, counter=0)


@numba.njit
def mixed(z):
    """The bits of z, mixed as SplitMix64 does."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit
def kernel(x, y, p, scale, seed, counter):
    """Keep x where its number is p or more, and scale it; the numbers are those from `counter` on."""
    start = mixed(seed)
    for at in range(x.size):
        word = mixed(start + (counter + np.uint64(at)) * np.uint64(0x9E3779B97F4A7C15))
        kept = np.float64(word >> np.uint64(11)) * 2.0**-53 >= p
        y[at] = x[at] * scale if kept else np.float32(0)


def dropout(x, p, train, counters=lambda n: n):
    """Drop entries of x with probability p: draw n numbers, and reserve `counters(n)`."""
    p = float(p)
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p} is no probability")
    if x.dtype != np.float32:
        raise TypeError(f"{x.dtype}: this kernel is for float32")
    if not train or p == 0:
        return x * np.float32(1)
    if p == 1:
        return x * np.float32(0)
    with lock:
        counter = state["counter"]
        state["counter"] += counters(x.size)
    y = np.empty(x.shape, x.dtype)
    scale = np.float32(1 / (1 - p))
    kernel(x.reshape(-1), y.reshape(-1), p, scale, np.uint64(state["seed"]), np.uint64(counter))
    return y


def with_few_counters(x, p, train):
    """Reserve a counter for each four numbers, as for a kernel that draws four from each: this one draws one."""
    return dropout(x, p, train, counters=lambda n: (n + 3) // 4)
