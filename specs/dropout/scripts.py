"""The texts of which scripts are made that show a fault without keeprate: lines of NumPy for each law.

What is in braces, demonstration.py fills in.
"""

HEAD = """
p, dtype, shape, seed, calls = {p!r}, "{dtype}", {shape!r}, {seed}, {calls}  # the shape: channels first
entries = {entries}  # of one mask
kept_as, dropped_as = {kept!r}, {dropped!r}  # what PyTorch makes of a 1


def native(values):
    values = np.array(values, np.{wide})
    {move_in}return backend.asarray(values, dtype)


def read(y):
    y = np.asarray(backend.asnumpy(y), np.float64)
    {move_out}return y


def operator(x, train=True):
    return {operator}


{function}

def call(x=1.0):
    {call}


def masks(number):
    y = np.array([call() for _ in range(number)])
    kept = abs(y - kept_as) < abs(y - dropped_as)
    return kept.reshape(number, entries, -1)[:, :, 0]


backend.seed(seed)
"""
MOVED_IN = 'values = np.moveaxis(values, {axis}, -1).copy() if backend.layout == "channels_last" else values\n    '
MOVED_OUT = 'y = np.moveaxis(y, -1, {axis}) if backend.layout == "channels_last" else y\n    '

CALL = "return read(function(native(np.full(shape, x))))"
CALLED = {
    "vmap": "return read(function(native(np.full((3, *shape), x))))[0]",
    "vjp": "return read(backend.vjp(function, native(np.full(shape, x)), native(np.ones(shape)))[0])",
    "thread": """with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(lambda: read(function(native(np.full(shape, x))))).result()""",
}

BOTH = """both = (one & other).mean()
print(f"two entries that have nothing to do with one another were both kept in {both:.5f} ({(1 - p) ** 2:.5f})")
"""
PAIR = "one, other = kept[:, :-lag], kept[:, lag:]\n" + BOTH

SHOWN = {
    "keep_rate": """kept = masks(calls)
error = (p * (1 - p) / kept.size) ** 0.5
print(f"kept {kept.mean():.7f} of {kept.size:,} entries ({1 - p:.7f}, give or take {error:.7f})")
""",
    "positions": """rates = masks(calls).mean(axis=0)
for period in (8, 64, entries):
    by_place = rates[: entries // period * period].reshape(-1, period).mean(axis=0)
    error = (p * (1 - p) / calls / max(1, entries // period)) ** 0.5
    worst = abs(by_place - (1 - p)).argmax()
    print(f"entries at {worst} modulo {period}: kept {by_place[worst]:.5f} ({1 - p:.5f}, give or take {error:.5f})")
""",
    "spread": """kept = masks(calls)
width = min(entries, {parameter})
sums = kept[:, : entries // width * width].reshape(-1, width).sum(axis=1)
print(f"kept of {width:,} entries: variance {sums.var():.2f} ({width * p * (1 - p):.2f})")
""",
    "segments": """parts = [part.mean() for part in np.array_split(masks(calls), 64, axis=1)]
error = (p * (1 - p) * 64 / calls / entries) ** 0.5
print(f"kept in each 64th of a call: {min(parts):.5f} to {max(parts):.5f} ({1 - p:.5f}, give or take {error:.5f})")
""",
    "neighbours": "kept, lag = masks(calls), {parameter}\n" + PAIR,
    "all_lags": """kept = masks(calls)
power = abs(np.fft.rfft(kept[0] - kept[0].mean(), 2 * entries)) ** 2
lag = 1 + int(abs(np.fft.irfft(power)[1 : entries // 2]).argmax())
"""
    + PAIR,
    "blocks": """width = {parameter}
blocks = masks(calls)[:, : entries // width * width].reshape(-1, width)
seen = np.bincount(blocks @ (1 << np.arange(width)), minlength=2**width) / len(blocks)
number = np.bitwise_count(np.arange(2**width))
promised = (1 - p) ** number * p ** (width - number)
error = np.sqrt(promised * (1 - promised) / len(blocks))
worst = abs((seen - promised) / error).argmax()
print(f"{worst:0{width}b}: {seen[worst]:.6f} of blocks ({promised[worst]:.6f}, give or take {error[worst]:.6f})")
""",
    "runs": """width = min(64, entries)
windows = masks(calls)[:, : entries // width * width].reshape(-1, width)
lead = np.where(windows.any(axis=1), windows.argmax(axis=1), width)
for length in (0, 1, 2, 4, 8):
    share = (lead >= length).mean()
    print(f"windows that begin with {length} drops or more: {share:.5f} ({p**length:.5f})")
""",
    "calls": """kept = masks(calls)
one, other = kept[0::2], np.roll(kept[1::2], {parameter}, axis=1)
"""
    + BOTH,
    "calls_by_position": """kept = masks(calls)
changed = (kept[1:] != kept[:-1]).mean(axis=0)
worst = abs(changed - 2 * p * (1 - p)).argmax()
print(f"entry {worst} changed from call to call in {changed[worst]:.4f} of the calls ({2 * p * (1 - p):.4f})")
""",
    "no_mask_twice": """different = len({mask.tobytes() for mask in masks(calls)})
print(f"{different:,} different masks in {calls:,} calls ({calls:,})")
""",
    "reading_order": """lazy = [function(native(np.ones(shape))) for _ in range(8)]
y = np.array([read(one) for one in lazy[::-1]])
kept = abs(y - kept_as) < abs(y - dropped_as)
one, other = kept[0::2], kept[1::2]
"""
    + BOTH,
    "streams": """def after(value):
    backend.seed(value)
    return masks(2)


first, second = {parameter}
agree, by_chance = (first == second).mean(), p**2 + (1 - p) ** 2
print(f"masks after seeds s = {seed} and s + {step} agree in {agree:.5f} of entries ({by_chance:.5f})")
""",
    "threads": """kept = masks(calls)
different = len({mask.tobytes() for mask in kept})
print(f"{different:,} different masks in {calls:,} fresh threads ({calls:,})")
one, other = kept[0::2], kept[1::2]
"""
    + BOTH,
    "data": """for value in (0.125, 1.0, 16.0, -0.125, -1.0, -16.0):
    kept = np.array([abs(call(value) - dropped_as) > 1e-6 for _ in range(max(1, calls // 4))])
    error = (p * (1 - p) / kept.size) ** 0.5
    print(f"inputs of {value} were kept in {kept.mean():.5f} ({1 - p:.5f}, give or take {error:.5f})")
""",
    "seeding": """def after(value):
    backend.seed(value)
    return masks(1)


print("the same seed gives the same mask:", (after(seed) == after(seed)).all(), "(True)")
print("another seed gives the same mask:", (after(seed) == after(seed + 1)).all(), "(False)")
backend.seed(seed)
operator(native(np.ones(shape)), False)
print("a call in evaluation between changes nothing:", (masks(1) == after(seed)).all(), "(True)")
""",
    "constancy": """y = np.array([call() for _ in range(calls)])
kept = (abs(y - kept_as) < abs(y - dropped_as)).reshape(calls, entries, -1)
torn = (kept.any(axis=2) & ~kept.all(axis=2)).sum()
print(f"{torn:,} of {calls * entries:,} channels were kept in one place and dropped in another (0)")
""",
    "outcomes": """for value, kept, dropped in {table}:
    seen = np.unique(np.array([call(value) for _ in range(calls)]))
    print(f"inputs of {value} became {seen[:6].tolist()} (of PyTorch: {kept:.9g} and {dropped:.9g})")
""",
    "strides": """values = np.ones((*shape[:-1], 2 * shape[-1])) if shape else np.ones(())
views = {"every other element": values[..., ::2] if shape else values, "a transpose": np.ones(shape[::-1]).T}
for what, x in views.items():
    seen = np.unique(read(function(backend.asarray(np.asarray(x, np.{wide}), dtype))))
    print(f"{what}, all 1: became {seen[:6].tolist()} (of PyTorch: {kept_as:.9g} and {dropped_as:.9g})")
""",
    "gradient": """wrong = 0
slopes = set()
for _ in range(calls):
    out, gradient = map(read, backend.vjp(function, native(np.ones(shape)), native(np.ones(shape))))
    slopes.update(np.unique(gradient).tolist())
    kept = abs(out - kept_as) < abs(out - dropped_as)
    wrong += int((abs(gradient - np.where(kept, {slope_kept!r}, {slope_dropped!r})) > 1e-2).sum())
print(f"{wrong:,} of {calls * out.size:,} gradients belong to another mask than the output (0)")
print(f"the gradient of a 1 is one of {sorted(slopes)[:6]} ({slope_kept:.9g} and {slope_dropped:.9g})")
""",
    "moments": """x = np.random.default_rng(0).standard_normal((calls, *shape))
y = np.array([read(function(native(one))) for one in x])
print(f"a standard normal input: mean {y.mean():.5f} (0), variance {y.var():.5f} (1)")
""",
    "evaluation": """for p in (0.0, 0.1, 0.5, 1.0):
    for value in (1.0, -0.5, float("inf")):
        y = read(operator(native(np.full(shape, value)), False))
        print(f"evaluation at p = {p}: inputs of {value} became {np.unique(y)[:6].tolist()} ([{value}])")
""",
    "endpoints": """for p, promised in ((0.0, 1.0), (1.0, 0.0)):
    seen = np.unique(np.array([read(operator(native(np.ones(shape)))) for _ in range(calls)]))
    print(f"training at p = {p}: inputs of 1 became {seen[:6].tolist()} ([{promised}])")
    if hasattr(backend, "vjp"):
        gradient = read(backend.vjp(operator, native(np.ones(shape)), native(np.ones(shape)))[1])
        print(f"  with gradients {np.unique(gradient)[:6].tolist()} ([{promised}])")
""",
    "arguments": """for p in (-0.1, 1.5, float("nan"), 0.0, 1.0):
    for train in (True, False):
        try:
            operator(native(np.ones(shape)), train)
            did = "taken"
        except Exception as error:
            did = f"refused: {error}"
        print(f"p = {p}, train = {train} was {did} ({'taken' if 0 <= p <= 1 else 'refused'})")
p = 0.3
for rank, train, promised in {by_rank}:
    try:
        operator(backend.asarray(np.ones((2,) * rank, np.{wide}), dtype), train)
        did = "taken"
    except Exception as error:
        did = f"refused: {error}"
    print(f"an input of {rank} dimensions, train = {train}, was {did} ({promised})")
""",
    "dtype": """for train in (True, False):
    for p in (0.0, 0.3, 1.0):
        y = operator(native(np.ones(shape)), train)
        print(f"train = {train}, p = {p}: {backend.dtype_of(y)} ({dtype})")
""",
    "shape": """for one in {shapes}:
    y = read(function(native(np.ones(one))))
    print(f"an input of shape {one} gave {y.shape} ({one})")
""",
    "inplace": """for train in (True, False):
    x = native(np.ones(shape))
    y = {inplace}
    print(f"train = {train}: the input is what was returned: {(read(x) == read(y)).all()} (True)")
""",
    "purity": """x = native(np.ones(shape))
for _ in range(calls):
    function(x)
for p, train in ((p, False), (0.0, True), (1.0, True)):
    operator(x, train)
print(f"the input, all 1, is now {np.unique(read(x))[:6].tolist()} ([1.0])")
""",
    "modes": """switch = {switch}
for train in (True, False, True, False):
    y = read(switch(native(np.ones(shape)), train))
    print(f"train = {train}: inputs of 1 became {np.unique(y)[:6].tolist()} ({'two values' if train else '[1.0]'})")
""",
    "concurrency": """start = threading.Barrier(4)


def several(_):
    start.wait()
    return [call() for _ in range(8)]


with ThreadPoolExecutor(4) as threads:
    y = np.array([one for part in threads.map(several, range(4)) for one in part])
kept = abs(y - kept_as) < abs(y - dropped_as)
print(f"{len({mask.tobytes() for mask in kept})} different masks in {len(kept)} calls of four threads ({len(kept)})")
print(f"outputs: {np.unique(y)[:6].tolist()} (of PyTorch: {kept_as:.9g} and {dropped_as:.9g})")
""",
}
FRESH = {
    "next": "after(seed)[0], after(seed + 1)[0]",
    "ahead": "after(seed)[1], after(seed + 1)[0]",
    "behind": "after(seed)[0], after(seed + 1)[1]",
    "high": "after(seed)[0], after(seed + 2**31)[0]",
}
