"""A backend in NumPy: replace NumPy by your framework, name by name. It runs as it is.

    keeprate check FILE.py      does this file do what it says? a second
    keeprate gate --backend FILE.py --profile quick      is the framework faithful? half a minute

Any module with these names is a backend; it imports nothing of keeprate. What your framework lacks, leave out: it is
reported as not offered, or not implemented, and never held against you. Never emulate what is missing: judged is what
a user of the framework gets.
"""

import os

import numpy as np

name = "mine"  # shown in reports
# What is judged: a ledger begins anew with each version, and says what is new in it. In CI the commit is part of it.
version = "+".join(filter(None, (np.__version__, os.environ.get("GITHUB_SHA", "")[:10])))
layout = "channels_first"  # where channel operators expect the channels: (N, C, …), or "channels_last": (N, …, C)
dtypes = ("float32", "float64")  # any of float32, float64, float16, bfloat16

_random = np.random.default_rng()


# --- Arrays -----------------------------------------------------------------------------------------------------------


def asarray(x, dtype):
    """A native array of x, float32 or float64 and exactly representable in dtype; keep its strides if you can."""
    return np.array(x, dtype=dtype, order="K")


def asnumpy(x):
    """The exact values again; bfloat16, which NumPy lacks, may come back as float32."""
    return x


def dtype_of(x):
    """The name of an array's dtype."""
    return str(x.dtype)


def seed(value):
    """Sets the state that all later calls draw from; 0 ≤ value < 2**63, ValueError where that is too much.

    A framework without a global generator keeps a key here, and splits it in every call that draws.
    """
    global _random
    _random = np.random.default_rng(value)


# --- Operators: any of dropout, dropout_, feature_dropout, dropout1d, dropout2d, dropout3d, alpha_dropout and
# --- feature_alpha_dropout, called as (x, p, train). p is the probability of dropping.


def dropout(x, p, train):
    """Drops each entry at probability p; scales the rest by 1/(1 − p)."""
    return _dropped(x, p, train, x.shape)


def dropout2d(x, p, train):
    """Drops each channel of (N, C, H, W) or (N, C, L) at probability p."""
    if train and x.ndim < 2:
        raise ValueError(f"shape {x.shape} has no channels")
    return _dropped(x, p, train, x.shape[:2] + (1,) * (x.ndim - 2))


def _dropped(x, p, train, shape_of_mask):
    if not 0 <= p <= 1:  # NaN too is refused by this
        raise ValueError(f"p = {p} is not from 0 to 1")
    if train and 0 < p < 1 and x.dtype.kind != "f":
        raise TypeError(f"{x.dtype}: integers can't be scaled")
    if not train or p == 0:
        return x
    with np.errstate(invalid="ignore"):  # a dropped infinity is NaN, as in PyTorch
        if p == 1:
            return x * 0
        noise = (_random.random(shape_of_mask) >= p) / (1 - p)
        return x * noise.astype(x.dtype)


# --- Optional, as far as the framework has it -------------------------------------------------------------------------
#
# inplace = True                     operators also take inplace=True, and write to x
# def vjp(fn, x, cotangent):         one pass forward and back through fn: (output, gradient)
# def linearize(fn, x):               (output, pullback), of which pullback(cotangent) is a gradient, later and again
# def jvp(fn, x, tangent):           forward mode: (output, tangent of the output)
# def compile(fn):                   the framework's compiler, as its documentation tells people to use it
# def vmap(fn):                      maps fn over the first axis
# def get_state():                   the random state; copy.deepcopy can copy it
# def set_state(state):              puts it back
# forks = True                       os.fork gives a process that draws otherwise than its parent
# def checkpoint(fn):                computes fn again in the backward pass
# def module(op, p):                 a layer: __call__(x), train(), eval(); NotImplementedError where there is none
