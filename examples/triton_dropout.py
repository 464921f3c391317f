"""Dropout as a Triton kernel, with its gradient, and the same with too few counters reserved.

Under TRITON_INTERPRET=1 Triton runs it on the CPU, a program at a time: blocks may be large there.
"""

import os
import threading

import torch
import triton
import triton.language as tl

MOST = 1 << 16 if os.environ.get("TRITON_INTERPRET") == "1" else 1024  # elements of a block
state = {"seed": 0, "counter": 0}  # of Philox: what a seed sets, and the next number that nobody has drawn
one_at_a_time = threading.Lock()  # for the state; and the interpreter can't run in two threads at once


def seed(value):
    """Begin again."""
    state.update(seed=value, counter=0)


@triton.jit
def kernel(x, y, n, p, scale, seed, counter, block: tl.constexpr):
    """Keep x where its number is p or more, and scale it; the numbers are those from `counter` on."""
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < n
    values = tl.load(x + at, mask=inside)
    kept = tl.rand(seed, counter + at) >= p
    tl.store(y + at, tl.where(kept, values * scale, 0.0), mask=inside)


def launch(x, p, seed, counter):
    """Run the kernel on all of x."""
    x = x.contiguous()
    y = torch.empty_like(x)
    if n := x.numel():
        block = min(MOST, triton.next_power_of_2(n))
        with one_at_a_time:
            kernel[(triton.cdiv(n, block),)](x, y, n, p, 1 / (1 - p), seed, counter, block=block)
    return y


class Dropout(torch.autograd.Function):
    """The backward pass draws the same numbers again, from the same counter."""

    @staticmethod
    def forward(ctx, x, p, counters):
        """Draw n numbers, and reserve `counters(n)`."""
        with one_at_a_time:
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
    if not x.is_floating_point():
        raise TypeError(f"{x.dtype} can't be scaled")
    if not train or p == 0:
        return x * 1
    if p == 1:
        return x * 0
    return Dropout.apply(x, p, counters)


def with_few_counters(x, p, train):
    """Reserve a counter for each four numbers, as for a kernel that draws four from each: this one draws one."""
    return dropout(x, p, train, counters=lambda n: (n + 3) // 4)
