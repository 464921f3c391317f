"""tinygrad: a function that `TinyJit` has captured goes on with the random numbers of before, whatever seed is set."""

import secrets
from importlib.metadata import version

from tinygrad import Context, Tensor, TinyJit

seed = secrets.randbits(30)
x = Tensor.ones(64, 64).contiguous().realize()


def drop(x: Tensor) -> Tensor:
    """Drop half of x."""
    with Context(TRAINING=1):
        return x.dropout(0.5).realize()


captured = TinyJit(drop)
for _ in range(3):  # the first two calls capture
    captured(x)
print(f"tinygrad {version('tinygrad')}, seed {seed}; shares of entries in which two masks after one seed agree")
for name, fn in (("captured by TinyJit", captured), ("as it is", drop)):
    masks = []
    for _ in range(2):
        Tensor.manual_seed(seed)
        masks.append(fn(x).numpy() > 0)
    print(f"{name}: {float((masks[0] == masks[1]).mean()):.3f} (1.000)")
