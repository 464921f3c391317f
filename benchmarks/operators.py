"""How fast the MLX operators are: ratios within one run against mlx.nn, PyTorch on the same cores, and the limits.

    python benchmarks/operators.py                        the figures at 2²⁴ float32 elements
    python benchmarks/operators.py --all --plot out.svg   every operator, dtype and size, forward and back, compiled

Contenders take turns, in another order in each round, so a ratio means something on a noisy machine; shown is the
median of the rounds' ratios with its quartiles. Memory is what `mx.get_peak_memory` says of one call. A plot takes
matplotlib, which the extra `report` installs.
"""

import argparse
import json
import math
import random
import statistics
import time
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import torch

from impl import alpha, dropout, transforms

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


def mlx_call(fn, x, mode):
    """A function that calls `fn` once, and returns when the result is there."""
    if mode == "forward":
        return lambda: mx.eval(fn(x))
    ones = mx.ones_like(x)
    return lambda: mx.eval(mx.vjp(fn, [x], [ones]))


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

    calls = {"ours": mlx_call(operator, x, mode), "ours compiled": mlx_call(transforms.compile(operator), x, mode)}
    if layer is not None:
        calls["mlx.nn"] = mlx_call(layer(P), x, mode)
        state = mx.random.state
        calls["mlx.nn compiled"] = mlx_call(mx.compile(layer(P), inputs=state, outputs=state), x, mode)
    if not (op.endswith("_") and mode == "both"):  # PyTorch writes to no leaf that requires grad
        calls["torch"] = torch_call(theirs, op, shape, dtype, mode)
    if mode == "forward":
        calls["x * y"] = lambda: mx.eval(x * y)
        calls["bernoulli"] = lambda: mx.eval(mx.random.bernoulli(1 - P, shape))
        calls["dropout"] = mlx_call(lambda x: dropout.dropout(x, P, True), x, mode)
    return calls


def measure(calls, rounds, seconds=0.02):
    """Name to (median, lower quartile, upper quartile) of its time over ours."""
    repeats = {}
    for name, call in calls.items():
        call()
        started = time.perf_counter()
        call()
        repeats[name] = max(1, math.ceil(seconds / (time.perf_counter() - started + 1e-9)))
    ratios = {name: [] for name in calls}
    for _ in range(rounds):
        times = {}
        for name in random.sample(list(calls), len(calls)):
            started = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            times[name] = (time.perf_counter() - started) / repeats[name]
        for name, spent in times.items():
            ratios[name].append(spent / times["ours"])
    return {name: quartiles(values) for name, values in ratios.items()}


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def peak(call):
    """Bytes that one call holds at most, beside what was there before."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    call()
    return mx.get_peak_memory() - before


def figures(size, rounds):
    """What the README states, at `size` float32 elements."""
    rows = []

    def row(what, ratio):
        rows.append((what, *ratio))
        print(f"{what:60s} {ratio[0]:6.2f}   {ratio[1]:.2f} to {ratio[2]:.2f}", flush=True)

    def inverse(ratio):
        return 1 / ratio[0], 1 / ratio[2], 1 / ratio[1]

    one = contenders("dropout", "float32", size, "forward")
    found = measure(one, rounds)
    row("mlx.nn.Dropout, its time over that of dropout", found["mlx.nn"])
    row("torch.nn.functional.dropout, its time over that of dropout", found["torch"])
    row(
        "the same compiled, mlx.nn.Dropout over dropout",
        tuple(value / found["ours compiled"][0] for value in found["mlx.nn compiled"]),
    )
    two = measure(contenders("dropout2d", "float32", size, "forward"), rounds)
    row("dropout2d, its time over that of x * y", inverse(two["x * y"]))
    three = measure(contenders("alpha_dropout", "float32", size, "forward"), rounds)
    row("alpha_dropout, its time over that of dropout", inverse(three["dropout"]))
    memory = peak(one["ours"]) / peak(one["mlx.nn"])
    row("peak memory of dropout over that of mlx.nn.Dropout", (memory, memory, memory))
    return rows


def everything(rounds, path):
    """Every operator, dtype, size and mode; a line of JSON each."""
    rows = []
    for op in OPERATORS:
        for dtype in DTYPES:
            for size in SIZES:
                for mode in ("forward", "both"):
                    found = measure(contenders(op, dtype, size, mode), rounds)
                    rows.append({"op": op, "dtype": dtype, "size": size, "mode": mode, "over ours": found})
                    print(json.dumps(rows[-1]), flush=True)
    if path is not None:
        plot(rows, path)


def plot(rows, path):
    """Time over ours against size, float32 forward, a panel for each operator."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(14, 6), sharex=True, sharey=True, layout="constrained")
    for axis, op in zip(axes.flat, OPERATORS, strict=True):
        mine = [row for row in rows if (row["op"], row["dtype"], row["mode"]) == (op, "float32", "forward")]
        for name in ("mlx.nn", "torch", "ours compiled", "x * y"):
            points = [(row["size"], *row["over ours"][name]) for row in mine if name in row["over ours"]]
            if points:
                sizes, middles, lows, highs = zip(*points, strict=True)
                axis.plot(sizes, middles, marker="o", label=name)
                axis.fill_between(sizes, lows, highs, alpha=0.2)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set(title=op, xscale="log", yscale="log", xlabel="elements", ylabel="time over ours")
    axes.flat[0].legend()
    figure.suptitle("Above the line: slower than the operators of impl (float32, forward, median and quartiles)")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every operator, dtype, size and mode")
    parser.add_argument("--plot", type=Path, help="with --all: where to draw the ratios")
    parser.add_argument("--size", type=int, default=2**24)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch; MLX has one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.all:
        everything(arguments.rounds, arguments.plot)
    else:
        figures(arguments.size, arguments.rounds)


if __name__ == "__main__":
    main()
