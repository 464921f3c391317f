"""PyTorch on Intel CPUs: a stretch of one mask comes again in another, for each call opens a stream on one short cycle.

There `bernoulli_` seeds MKL's MCG31, x <- 1132489760 x mod (2^31 - 1), with 32 bits of the generator. All its numbers
lie on one cycle, so two calls of n entries overlap with probability n / 2^30. Elsewhere, and without MKL, nothing
comes again. `python torch_intel_streams.py model` shows the same on any machine, by a model of that generator.
"""

import secrets
import sys

import numpy as np
import torch

CALLS, ENTRIES = 3000, 4096
MODULUS, FACTOR = 2**31 - 1, 1132489760


def of_torch(seed):
    """Masks of dropout at p = 1/2."""
    torch.manual_seed(seed)
    return np.stack([torch.nn.functional.dropout(torch.ones(ENTRIES)).numpy() > 0 for _ in range(CALLS)])


def of_model(seed):
    """The same, if each call opens a stream of MCG31."""
    powers = np.ones(1, np.uint64)
    while powers.size < ENTRIES:
        step = np.uint64(pow(FACTOR, powers.size, MODULUS))
        powers = np.concatenate([powers, powers * step % np.uint64(MODULUS)])
    starts = np.random.default_rng(seed).integers(2**32, size=CALLS, dtype=np.uint64) % np.uint64(MODULUS)
    starts[starts == 0] = 1
    return np.stack([powers[:ENTRIES] * start % np.uint64(MODULUS) < MODULUS // 2 for start in starts])


def repeated(masks):
    """Pairs of (call, first entry) from which on 64 entries are the same, one for each pair of calls."""
    words = np.zeros((len(masks), masks.shape[1] - 63), np.uint64)
    for bit in range(64):
        words = words << np.uint64(1) | masks[:, bit : bit + words.shape[1]]
    order = np.argsort(words, axis=None, kind="stable")
    ordered = words.ravel()[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    places = (tuple(map(divmod, order[[i, i + 1]].tolist(), [words.shape[1]] * 2)) for i in again)
    return list({(one[0], other[0]): (one, other) for one, other in places}.values())


seed = secrets.randbits(31)
masks = (of_model if "model" in sys.argv else of_torch)(seed)
mkl = "with" if torch.backends.mkl.is_available() else "without"
print(f"torch {torch.__version__} {mkl} MKL, seed {seed}; {CALLS} calls of {ENTRIES:,} entries")
found = repeated(masks)
print(f"pairs of calls that share a stretch: {len(found)} (0)")
for (call, start), (other, place) in found[:5]:
    length = ENTRIES - max(start, place)
    same = np.array_equal(masks[call, start : start + length], masks[other, place : place + length])
    print(f"call {call} from {start:,} on is call {other} from {place:,} on, {length:,} entries: {same} (never)")
