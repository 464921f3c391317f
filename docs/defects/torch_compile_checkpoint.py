"""torch.compile: once a partial of torch.utils.checkpoint was differentiated, a later p is taken for an earlier one."""

from functools import partial

import torch
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

seed = torch.seed() % 2**30
torch.manual_seed(seed)
print(f"torch {torch.__version__}, seed {seed}; in brackets what 1 − p and 1/(1 − p) are")
for options in ({}, {"backend": "aot_eager"}, {"dynamic": False}):
    torch.compiler.reset()
    for p in (0.1, 0.5, 0.9, 0.2):
        x = torch.ones(96, 96, requires_grad=True)
        function = partial(checkpoint, lambda y, p=p: dropout(y, p, True), use_reentrant=False)
        out = torch.compile(function, **options)(x)
        out.sum().backward()
        kept = float((out != 0).double().mean())
        told = f"{kept:.3f} [{1 - p:.1f}] were kept, as {out.max():.3f} [{1 / (1 - p):.3f}]"
        print(f"{options or 'as it comes'}: p = {p}: {told}; gradient {x.grad.max():.3f}")
