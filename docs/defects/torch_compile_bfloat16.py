"""torch.compile: in bfloat16 the numbers that dropout draws are rounded before they are compared with p."""

import torch
from torch.nn.functional import dropout

seed = torch.seed() % 2**30
torch.manual_seed(seed)
print(f"torch {torch.__version__}, seed {seed}; kept entries of 2^22, and [how many standard deviations off]")
for p in (0.5, 0.9, 0.99, 0.999):
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(2048, 2048, dtype=dtype)
        n, mean = x.numel(), x.numel() * (1 - p)
        told = []
        for how in (dropout, torch.compile(dropout)):
            kept = int(how(x, p, True).count_nonzero())
            told.append(f"{kept / n:.6f} [{(kept - mean) / (mean * p) ** 0.5:+.1f}]")
        print(f"p = {p}, {dtype}: eager {told[0]}, compiled {told[1]}")
