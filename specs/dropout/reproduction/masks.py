"""What shows a fault without keeprate: functions that are copied into a script, with constants of the case in front.

A function from a backend to nothing shows how the law of its name fares; in brackets it prints what should be there.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

OPERATOR = "dropout"
KEYWORDS: dict[str, bool] = {}  # of each call
TRANSFORMS: tuple[str, ...] = ()  # the innermost first
P = 0.3
DTYPE = "float32"
WIDE = "float32"  # of what the backend is given
SHAPE: tuple[int, ...] = (64, 1024)  # channels in front
AXIS: int | None = None  # of the channels
ENTRIES = 65536  # of one mask
SEED = 1
CALLS = 32
KEPT = 1 / 0.7  # what PyTorch makes of a 1
DROPPED = 0.0
SLOPE_KEPT = 1 / 0.7  # its gradient
SLOPE_DROPPED = 0.0
TABLE = [(1.0, 1 / 0.7, 0.0)]  # inputs, and what PyTorch makes of them
LAG = 1
WIDTH = 64  # of a window
SHIFT = 0


def operator(backend: Any, x: Any, p: float, train: bool = True) -> Any:
    return getattr(backend, OPERATOR)(x, p, train, **KEYWORDS)


def plain(backend: Any, p: float | None = None, train: bool = True) -> Any:
    return transformed(backend, lambda x: operator(backend, x, P if p is None else p, train))


def layer(backend: Any, p: float | None = None, train: bool = True) -> Any:
    made = backend.module(OPERATOR, P if p is None else p)
    made.train() if train else made.eval()
    return transformed(backend, made)


def transformed(backend: Any, function: Any) -> Any:
    for name in TRANSFORMS:
        function = getattr(backend, name)(function)
    return function


def native(backend: Any, values: Any) -> Any:
    """A native array of `values`, which have their channels in front."""
    values = np.array(values, WIDE)
    if AXIS is not None and backend.layout == "channels_last":
        values = np.moveaxis(values, AXIS, -1).copy()
    return backend.asarray(values, DTYPE)


def read(backend: Any, y: Any) -> Any:
    """The values of a native array, channels in front."""
    values = np.asarray(backend.asnumpy(y), np.float64)
    return np.moveaxis(values, -1, AXIS) if AXIS is not None and backend.layout == "channels_last" else values


def output(backend: Any, function: Any, value: float) -> Any:
    """What an input of nothing but `value` becomes."""
    return read(backend, function(native(backend, np.full(SHAPE, value))))


def row(backend: Any, function: Any, value: float) -> Any:
    """The same, as the first of three rows of a mapped call."""
    return read(backend, function(native(backend, np.full((3, *SHAPE), value))))[0]


def forward(backend: Any, function: Any, value: float) -> Any:
    """The same, in a pass forward and back."""
    x, ones = native(backend, np.full(SHAPE, value)), native(backend, np.ones(SHAPE))
    return read(backend, backend.vjp(function, x, ones)[0])


def in_a_thread(backend: Any, function: Any, value: float) -> Any:
    """The same, in a fresh thread."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(output, backend, function, value).result()


def outputs(backend: Any, value: float, number: int) -> Any:
    """Of as many calls."""
    function = FUNCTION(backend)
    return np.array([CALL(backend, function, value) for _ in range(number)])


def is_kept(y: Any, if_kept: float, if_dropped: float) -> Any:
    """Which outputs were kept: those nearer to what is kept; where none is, all that aren't what is dropped."""
    nearer = abs(y - if_kept) < abs(y - if_dropped)
    # Of alpha dropout near p = 1 what is dropped is a difference of numbers as large as what is kept.
    rounded = abs(if_dropped) / 10 + abs(if_kept) / 100 if if_dropped else abs(if_kept) / 1e5
    return nearer if nearer.any() else abs(y - if_dropped) > rounded


def kept(y: Any) -> Any:
    """(calls, entries) which entries of each mask were kept, where the input was 1."""
    return is_kept(y, KEPT, DROPPED).reshape(len(y), ENTRIES, -1)[:, :, 0]


def masks(backend: Any, number: int) -> Any:
    """The same, of as many calls."""
    return kept(outputs(backend, 1.0, number))


def pairs(one: Any, other: Any) -> None:
    """Shows how often two entries are both kept."""
    both = (one & other).mean()
    print(f"two entries that have nothing to do with one another were both kept in {both:.5f} ({(1 - P) ** 2:.5f})")


def keep_rate(backend: Any) -> None:
    seen = masks(backend, CALLS)
    error = (P * (1 - P) / seen.size) ** 0.5
    print(f"kept {seen.mean():.7f} of {seen.size:,} entries ({1 - P:.7f}, give or take {error:.7f})")


def positions(backend: Any) -> None:
    rates = masks(backend, CALLS).mean(axis=0)
    for period in (8, 64, ENTRIES):
        by_place = rates[: ENTRIES // period * period].reshape(-1, period).mean(axis=0)
        error = (P * (1 - P) / CALLS / max(1, ENTRIES // period)) ** 0.5
        worst = abs(by_place - (1 - P)).argmax()
        print(f"entries at {worst} modulo {period}: kept {by_place[worst]:.5f} ({1 - P:.5f}, give or take {error:.5f})")


def spread(backend: Any) -> None:
    width = min(ENTRIES, WIDTH)
    sums = masks(backend, CALLS)[:, : ENTRIES // width * width].reshape(-1, width).sum(axis=1)
    print(f"kept of {width:,} entries: variance {sums.var():.2f} ({width * P * (1 - P):.2f})")


def segments(backend: Any) -> None:
    parts = [part.mean() for part in np.array_split(masks(backend, CALLS), 64, axis=1)]
    error = (P * (1 - P) * 64 / CALLS / ENTRIES) ** 0.5
    print(f"kept in each 64th of a call: {min(parts):.5f} to {max(parts):.5f} ({1 - P:.5f}, give or take {error:.5f})")


def slices(backend: Any) -> None:
    seen = masks(backend, CALLS).reshape(CALLS, *SHAPE[: AXIS + 1 if AXIS is not None else None])
    for axis in range(seen.ndim - 1):
        rows = np.moveaxis(seen, axis + 1, 0).reshape(seen.shape[axis + 1], -1)
        print(f"{len(np.unique(rows, axis=0)):,} different slices along axis {axis} ({len(rows):,})")


def neighbours(backend: Any) -> None:
    seen = masks(backend, CALLS)
    pairs(seen[:, :-LAG], seen[:, LAG:])


def all_lags(backend: Any) -> None:
    seen = masks(backend, CALLS)
    power = abs(np.fft.rfft(seen[0] - seen[0].mean(), 2 * ENTRIES)) ** 2
    lag = 1 + int(abs(np.fft.irfft(power)[1 : ENTRIES // 2]).argmax())
    pairs(seen[:, :-lag], seen[:, lag:])


def all_shifts(backend: Any) -> None:
    seen = masks(backend, CALLS)
    spectra = np.fft.rfft(seen - seen.mean(), 2 * ENTRIES)
    moved = np.fft.irfft((spectra[:-1].conj() * spectra[1:]).sum(axis=0))
    overlap = abs(ENTRIES - np.arange(2 * ENTRIES))
    shift = int((abs(moved) / (overlap + 64) ** 0.5).argmax())
    shift -= 2 * ENTRIES if shift > ENTRIES else 0
    print(f"the next mask fits best where it is moved by {shift}")
    one, other = (seen[1:], seen[:-1]) if shift < 0 else (seen[:-1], seen[1:])
    pairs(one[:, : ENTRIES - abs(shift)], other[:, abs(shift) :])


def no_stretch_twice(backend: Any) -> None:
    rare, text = min(P, 1 - P), masks(backend, CALLS).tobytes()
    between = round(np.log(2**-11 / rare**2) / np.log(1 - rare))
    ends, inner = (b"\x00", b"\x01") if P <= 0.5 else (b"\x01", b"\x00")
    parts = text.split(ends + inner * between + ends)[1:]
    stretches = [part[:1024] for part in parts if len(part) >= 1024]
    print(f"{len(set(stretches)):,} different stretches of 1,024 entries ({len(stretches):,})")


def rank(backend: Any) -> None:
    each = ENTRIES // WIDTH**2
    squares = masks(backend, CALLS)[:, : each * WIDTH**2].reshape(-1, WIDTH, WIDTH)[:30]
    missing = []
    for square in squares:
        found = 0
        for column in range(WIDTH):
            marked = np.flatnonzero(square[:, column])
            if marked.size:
                square[marked] ^= square[marked[0]].copy()
                found += 1
        missing.append(WIDTH - found)
    few = sum(one > 1 for one in missing)
    print(f"{few} of {len(squares)} squares of {WIDTH} by {WIDTH} entries lack more than one of full rank (13 %)")


def blocks(backend: Any) -> None:
    split = masks(backend, CALLS)[:, : ENTRIES // WIDTH * WIDTH].reshape(-1, WIDTH)
    seen = np.bincount(split @ (1 << np.arange(WIDTH)), minlength=2**WIDTH) / len(split)
    number = np.bitwise_count(np.arange(2**WIDTH))
    promised = (1 - P) ** number * P ** (WIDTH - number)
    error = np.sqrt(promised * (1 - promised) / len(split))
    worst = abs((seen - promised) / error).argmax()
    print(f"{worst:0{WIDTH}b}: {seen[worst]:.6f} of blocks ({promised[worst]:.6f}, give or take {error[worst]:.6f})")


def runs(backend: Any) -> None:
    width = min(64, ENTRIES)
    windows = masks(backend, CALLS)[:, : ENTRIES // width * width].reshape(-1, width)
    lead = np.where(windows.any(axis=1), windows.argmax(axis=1), width)
    for length in (0, 1, 2, 4, 8):
        share = (lead >= length).mean()
        print(f"windows that begin with {length} drops or more: {share:.5f} ({P**length:.5f})")


def calls(backend: Any) -> None:
    seen = masks(backend, CALLS)
    pairs(seen[0::2], np.roll(seen[1::2], SHIFT, axis=1))


def calls_by_position(backend: Any) -> None:
    seen = masks(backend, CALLS)
    changed = (seen[1:] != seen[:-1]).mean(axis=0)
    worst = abs(changed - 2 * P * (1 - P)).argmax()
    print(f"entry {worst} changed from call to call in {changed[worst]:.4f} of the calls ({2 * P * (1 - P):.4f})")


def no_mask_twice(backend: Any) -> None:
    different = len({mask[:4096].tobytes() for mask in masks(backend, CALLS)})
    print(f"{different:,} different masks in {CALLS:,} calls ({CALLS:,})")


def reading_order(backend: Any) -> None:
    function = FUNCTION(backend)
    lazy = [function(native(backend, np.ones(SHAPE))) for _ in range(8)]
    seen = kept(np.array([read(backend, one) for one in lazy[::-1]]))
    pairs(seen[0::2], seen[1::2])


def data(backend: Any) -> None:
    for value in (0.125, 1.0, 16.0, -0.125, -1.0, -16.0):
        seen = abs(outputs(backend, value, max(1, CALLS // 4)) - DROPPED) > 1e-6
        error = (P * (1 - P) / seen.size) ** 0.5
        print(f"inputs of {value} were kept in {seen.mean():.5f} ({1 - P:.5f}, give or take {error:.5f})")


def constancy(backend: Any) -> None:
    seen = is_kept(outputs(backend, 1.0, CALLS), KEPT, DROPPED).reshape(CALLS, ENTRIES, -1)
    torn = (seen.any(axis=2) & ~seen.all(axis=2)).sum()
    print(f"{torn:,} of {CALLS * ENTRIES:,} channels were kept in one place and dropped in another (0)")


def outcomes(backend: Any) -> None:
    for value, if_kept, if_dropped in TABLE:
        seen = np.unique(outputs(backend, value, CALLS))
        print(f"inputs of {value} became {seen[:6].tolist()} (of PyTorch: {if_kept:.9g} and {if_dropped:.9g})")


def gradient(backend: Any) -> None:
    function, ones, wrong, size = FUNCTION(backend), np.ones(SHAPE), 0, 0
    slopes: set[float] = set()
    for _ in range(CALLS):
        pair = backend.vjp(function, native(backend, ones), native(backend, ones))
        y, slope = (read(backend, part) for part in pair)
        slopes.update(np.unique(slope).tolist())
        wrong, size = wrong + of_other_masks(y, slope), size + y.size
    print(f"{wrong:,} of {size:,} gradients belong to another mask than the output (0)")
    print(f"the gradient of a 1 is one of {sorted(slopes)[:6]} ({SLOPE_KEPT:.9g} and {SLOPE_DROPPED:.9g})")
    for what, y, slope in other_passes(backend, function):
        if wrong := of_other_masks(y, slope):
            print(f"{wrong:,} of {y.size:,} {what} belong to another mask than the output (0)")


def of_other_masks(y: Any, slopes: Any) -> int:
    """How many gradients have another mask than their output."""
    promised = np.where(is_kept(y, KEPT, DROPPED), SLOPE_KEPT, SLOPE_DROPPED)
    return int((abs(slopes - promised) > 1e-2).sum())


def other_passes(backend: Any, function: Any) -> Any:
    """What passes are, their outputs and their gradients, as far as the backend has these."""
    for shape in (SHAPE, (2, *SHAPE)[: len(SHAPE)]):
        out, slope = backend.vjp(function, native(backend, np.ones(shape)), native(backend, np.ones(shape)))
        yield f"gradients on an input of shape {shape}", read(backend, out), read(backend, slope)
    ones = np.ones(SHAPE)
    if hasattr(backend, "linearize"):
        passes = [backend.linearize(function, native(backend, ones)) for _ in range(2)]
        for scale, what in ((1.0, "asked for later,"), (2.0, "asked for again,")):
            for out, pullback in passes:
                slope = read(backend, pullback(native(backend, scale * ones))) / scale
                yield f"gradients of two passes, {what}", read(backend, out), slope
    if hasattr(backend, "jvp"):
        out, slope = backend.jvp(function, native(backend, ones), native(backend, ones))
        yield "tangents", read(backend, out), read(backend, slope)


def moments(backend: Any) -> None:
    function = FUNCTION(backend)
    x = np.random.default_rng(0).standard_normal((CALLS, *SHAPE))
    y = np.array([read(backend, function(native(backend, one))) for one in x])
    print(f"a standard normal input: mean {y.mean():.5f} (0), variance {y.var():.5f} (1)")


FUNCTION = plain  # what is called
CALL = output  # how an output is had
