"""How fast the MLX operators are: ratios within one run against mlx.nn, PyTorch on the same cores, and the limits.

    python benchmarks/operators.py                        the figures of docs/mlx.md, at 2²⁴ float32 elements
    python benchmarks/operators.py --all --plot out.svg   every operator, dtype and size, forward and back, compiled

Contenders take turns, in another order in each round, so a ratio means something on a noisy machine; shown is the
median of the rounds' ratios with its quartiles. MLX's CPU back end uses one thread, so PyTorch has one too unless
--threads says otherwise. Memory is what `mx.get_peak_memory` says of one call. A plot takes matplotlib, which the
extra `report` installs.
"""

import argparse
import itertools
import json
import math
import random
import statistics
import time
from functools import partial
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import torch

from keeprate.impl import alpha, attention, dropout, paths, transforms

P = 0.3
DTYPES = ("float32", "float16", "bfloat16")
SIZES = tuple(2**k for k in range(10, 27, 4))
OPERATORS = {
    "dropout": (dropout.dropout, nn.Dropout, torch.nn.functional.dropout),
    "dropout_": (dropout.dropout_, None, torch.dropout_),
    "feature_dropout": (dropout.feature_dropout, None, torch.feature_dropout),
    "dropout1d": (dropout.dropout1d, None, torch.nn.functional.dropout1d),
    "dropout2d": (dropout.dropout2d, nn.Dropout2d, torch.nn.functional.dropout2d),
    "dropout3d": (dropout.dropout3d, nn.Dropout3d, torch.nn.functional.dropout3d),
    "alpha_dropout": (alpha.alpha_dropout, None, torch.nn.functional.alpha_dropout),
    "feature_alpha_dropout": (alpha.feature_alpha_dropout, None, torch.nn.functional.feature_alpha_dropout),
}
RANKS = {"dropout1d": 3, "dropout2d": 4, "dropout3d": 5, "feature_dropout": 4, "feature_alpha_dropout": 4}


def shape_of(op, size):
    """(N, …, C) with 64 channels where the operator has any."""
    rank = RANKS.get(op)
    if rank is None:
        return (size,)
    channels = min(64, size // 16)
    spatial = min(4096, size // channels // 2)  # an image of 64 × 64
    return (size // channels // spatial, *[1] * (rank - 3), spatial, channels)


def mlx_call(fn, x, mode, compiler=None):
    """A function that calls `fn` once, back as well if `mode` says so, compiled as a whole by `compiler`, and waits."""
    if mode == "both":
        ones = mx.ones_like(x)

        def passes(x):
            return mx.vjp(fn, [x], [ones])

    call = fn if mode == "forward" else passes
    call = compiler(call) if compiler else call
    return lambda: mx.eval(call(x))


def torch_call(fn, op, shape, dtype, mode):
    order = (0, len(shape) - 1, *range(1, len(shape) - 1)) if op in RANKS else range(len(shape))
    x = torch.rand(tuple(shape[axis] for axis in order), dtype=getattr(torch, dtype))
    if mode == "forward":
        return lambda: fn(x, P, True)
    leaf, ones = x.requires_grad_(True), torch.ones_like(x)
    return lambda: torch.autograd.grad(fn(leaf, P, True), leaf, ones)


def contenders(op, dtype, size, mode):
    """Name to a function that does the work once; ours first."""
    ours, layer, theirs = OPERATORS[op]
    shape = shape_of(op, size)
    x = mx.random.uniform(shape=shape).astype(getattr(mx, dtype))
    y = mx.random.uniform(shape=shape).astype(getattr(mx, dtype))
    mx.eval(x, y)

    def operator(x):
        return ours(x, P, True)

    calls = {"ours": mlx_call(operator, x, mode), "ours compiled": mlx_call(operator, x, mode, transforms.compile)}
    if layer is not None:
        stateful = partial(mx.compile, inputs=mx.random.state, outputs=mx.random.state)
        calls["mlx.nn"] = mlx_call(layer(P), x, mode)
        calls["mlx.nn compiled"] = mlx_call(layer(P), x, mode, stateful)
    if not (op.endswith("_") and mode == "both"):  # PyTorch writes to no leaf that requires grad
        calls["torch"] = torch_call(theirs, op, shape, dtype, mode)
    if mode == "forward":
        calls["x * y"] = lambda: mx.eval(x * y)
        calls["bernoulli"] = lambda: mx.eval(mx.random.bernoulli(1 - P, shape))
        calls["dropout"] = mlx_call(lambda x: dropout.dropout(x, P, True), x, mode)
    return calls


def of_attention():
    """At p = 0.1 and in evaluation, beside what MLX has without dropout, by hand and in one piece."""
    q, k, v = mx.random.normal((3, 4, 8, 512, 64))
    mx.eval(q, k, v)
    attend, scale = attention.scaled_dot_product_attention, 1 / 8
    return {
        "ours": lambda: mx.eval(attend(q, k, v, 0.1)),
        "by hand": lambda: mx.eval(mx.softmax((q * scale) @ k.swapaxes(-1, -2), axis=-1) @ v),
        "in evaluation": lambda: mx.eval(attend(q, k, v, 0.1, False)),
        "mx.fast": lambda: mx.eval(mx.fast.scaled_dot_product_attention(q, k, v, scale=scale)),
    }


def of_paths(size):
    x, y = mx.random.normal((2, size // 65536, 65536))
    mx.eval(x, y)
    return {"ours": lambda: mx.eval(paths.drop_path(x, P)), "x * y": lambda: mx.eval(x * y)}


def measure(calls, rounds, seconds=0.02):
    """Name to the seconds that a call of it took in each round."""
    repeats = {}
    for name, call in calls.items():
        call()
        started = time.perf_counter()
        call()
        repeats[name] = max(1, math.ceil(seconds / (time.perf_counter() - started + 1e-9)))
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            started = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            times[name].append((time.perf_counter() - started) / repeats[name])
    return times


def over(times, one, other="ours"):
    """Median, lower and upper quartile of the rounds' ratios: the time of `one` over that of `other`."""
    ratios = [mine / theirs for mine, theirs in zip(times[one], times[other], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def peak(call):
    """Bytes that one call holds at most, beside what was there before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    call()
    return mx.get_peak_memory() - before


def figures(size, rounds):
    """What docs/mlx.md states, at `size` float32 elements."""

    def row(what, ratio):
        print(f"{what:60s} {ratio[0]:6.2f}   {ratio[1]:.2f} to {ratio[2]:.2f}", flush=True)

    one = contenders("dropout", "float32", size, "forward")
    times = measure(one, rounds)
    row("mlx.nn.Dropout, its time over that of dropout", over(times, "mlx.nn"))
    row("torch.nn.functional.dropout, its time over that of dropout", over(times, "torch"))
    row("the same compiled, mlx.nn.Dropout over dropout", over(times, "mlx.nn compiled", "ours compiled"))
    times = measure(contenders("dropout2d", "float32", size, "forward"), rounds)
    row("dropout2d, its time over that of x * y", over(times, "ours", "x * y"))
    times = measure({**contenders("alpha_dropout", "float32", size, "forward"), "mlx.nn": one["mlx.nn"]}, rounds)
    row("alpha_dropout, its time over that of dropout", over(times, "ours", "dropout"))
    row("alpha_dropout, its time over that of mlx.nn.Dropout", over(times, "ours", "mlx.nn"))
    row("torch.nn.functional.alpha_dropout over alpha_dropout", over(times, "torch"))
    times = measure(of_attention(), rounds)
    row("attention, (4, 8, 512, 64), over softmax(q k) v by hand", over(times, "ours", "by hand"))
    row("the same in evaluation over mx.fast's", over(times, "in evaluation", "mx.fast"))
    row("drop_path, its time over that of x * y", over(measure(of_paths(size), rounds), "ours", "x * y"))
    memory = peak(one["ours"]) / peak(one["mlx.nn"])
    row("peak memory of dropout over that of mlx.nn.Dropout", (memory, memory, memory))


def everything(rounds, path):
    """Every operator, dtype, size and mode; a line of JSON each."""
    rows = []
    for op in OPERATORS:
        for dtype in DTYPES:
            for size in SIZES:
                for mode in ("forward", "both"):
                    calls = contenders(op, dtype, size, mode)
                    times = measure(calls, rounds)
                    row = {"op": op, "dtype": dtype, "size": size, "mode": mode}
                    row["over ours"] = {name: over(times, name) for name in calls}
                    row["peak bytes an element"] = {
                        name: round(peak(call) / size, 3) for name, call in calls.items() if name != "torch"
                    }
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    if path is not None:
        plot(rows, path)


def plot(rows, path):
    """Time over ours against size: a row of panels for each operator, a column for each dtype."""
    from matplotlib import pyplot

    shown = ("mlx.nn", "mlx.nn compiled", "torch", "ours compiled", "x * y", "bernoulli")
    figure, axes = pyplot.subplots(
        len(OPERATORS), len(DTYPES), figsize=(11, 20), sharex=True, sharey=True, layout="constrained"
    )
    for (op, dtype), axis in zip(itertools.product(OPERATORS, DTYPES), axes.flat, strict=True):
        for mode, line in (("forward", "-"), ("both", ":")):
            mine = [row for row in rows if (row["op"], row["dtype"], row["mode"]) == (op, dtype, mode)]
            for number, name in enumerate(shown):
                points = [(row["size"], *row["over ours"][name]) for row in mine if name in row["over ours"]]
                if points:
                    sizes, middles, lows, highs = zip(*points, strict=True)
                    label = name if mode == "forward" else None
                    axis.plot(sizes, middles, line, color=f"C{number}", marker="o", markersize=3, label=label)
                    axis.fill_between(sizes, lows, highs, color=f"C{number}", alpha=0.2)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_title(f"{op}, {dtype}", fontsize=9)
        axis.set(xscale="log", yscale="log")
    for axis in axes[-1]:
        axis.set_xlabel("elements")
    for axis in axes[:, 0]:
        axis.set_ylabel("time over ours")
    figure.suptitle("Above the line: slower than the operators of impl\nsolid: forward; dotted: forward and back")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(shown))
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every operator, dtype, size and mode")
    parser.add_argument("--plot", type=Path, help="with --all: where to draw the ratios")
    parser.add_argument("--size", type=int, default=2**24)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; MLX has one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.all:
        everything(arguments.rounds, arguments.plot)
    else:
        figures(arguments.size, arguments.rounds)


if __name__ == "__main__":
    main()
