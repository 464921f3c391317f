"""Dropout in C, called through ctypes on PyTorch's tensors, and the same with too few counters reserved.

The C compiler is `cc`, or what CC names; the library is built in a folder for temporary files.
"""

import ctypes
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import torch

state = {"seed": 0, "counter": 0}  # what a seed sets, and the next number that nobody has drawn
lock = threading.Lock()


def built(source):
    """The library of a file in C."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "library.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        return ctypes.CDLL(str(library))


kernel = built(Path(__file__).with_suffix(".c")).dropout
kernel.restype = None
kernel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64, ctypes.c_double, ctypes.c_float] + [ctypes.c_uint64] * 2


def seed(value):
    """Begin again."""
    state.update(seed=value, counter=0)


def launch(x, p, seed, counter):
    """Run the kernel on all of x."""
    x = x.contiguous()
    y = torch.empty_like(x)
    kernel(x.data_ptr(), y.data_ptr(), x.numel(), p, 1 / (1 - p), seed, counter)
    return y


class Dropout(torch.autograd.Function):
    """The backward pass draws the same numbers again, from the same counter."""

    @staticmethod
    def forward(ctx, x, p, counters):
        """Draw n numbers, and reserve `counters(n)`."""
        with lock:
            ctx.p, ctx.seed, ctx.counter = p, state["seed"], state["counter"]
            state["counter"] += counters(x.numel())
        return launch(x, p, ctx.seed, ctx.counter)

    @staticmethod
    def backward(ctx, cotangent):
        """Mask the cotangent as the input was."""
        return launch(cotangent, ctx.p, ctx.seed, ctx.counter), None, None


def dropout(x, p, train, counters=lambda n: n):
    """Drop entries of x with probability p."""
    p = float(p)
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p} is no probability")
    if x.dtype != torch.float32:
        raise TypeError(f"{x.dtype}: this kernel is for float32")
    if not train or p == 0:
        return x * 1
    if p == 1:
        return x * 0
    return Dropout.apply(x, p, counters)


def with_few_counters(x, p, train):
    """Reserve a counter for each four numbers, as for a kernel that draws four from each: this one draws one."""
    return dropout(x, p, train, counters=lambda n: (n + 3) // 4)
