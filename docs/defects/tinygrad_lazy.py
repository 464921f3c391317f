"""tinygrad: masks that are made first and read later, in another order than they were made in, are all the same."""

import secrets
from importlib.metadata import version

from tinygrad import Context, Tensor

seed = secrets.randbits(30)
Tensor.manual_seed(seed)
print(f"tinygrad {version('tinygrad')}, seed {seed}; shares of entries in which two masks agree (0.5 each)")
x = Tensor.ones(64, 64).contiguous().realize()
with Context(TRAINING=1):
    for order in (1, -1):
        lazy = [x.dropout(0.5) for _ in range(4)]
        masks = [y.numpy() > 0 for y in lazy[::order]]
        print(
            f"read {'in order' if order == 1 else 'in reverse'}:",
            [round(float((masks[0] == m).mean()), 3) for m in masks[1:]],
        )
one, other = Tensor.rand(1000), Tensor.rand(1000)
second, first = other.numpy(), one.numpy()
print("two calls of Tensor.rand, the second read first, are equal:", bool((first == second).all()), "(False)")
