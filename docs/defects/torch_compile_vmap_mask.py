"""torch.compile: under torch.vmap, attention written by hand reads its mask before that is drawn, and gives zeros."""

import torch
from torch.nn.functional import dropout

seed = torch.seed() % 2**30
torch.manual_seed(seed)
print(f"torch {torch.__version__}, seed {seed}; in brackets what is expected")


def weigh(x):
    """Weigh x[1] by the softmax of x[0], with dropout at p = 0.5; (heads, length, length) each."""
    return dropout(x[0].softmax(-1), 0.5, True) @ x[1]


def rows(x):
    """Weigh each row by itself."""
    return torch.vmap(weigh, randomness="different")(x)


def whole(x):
    """Weigh all rows at once."""
    return dropout(x[:, 0].softmax(-1), 0.5, True) @ x[:, 1]


for what, function in (
    ("vmap, eager", rows),
    ("vmap, compiled", torch.compile(rows)),
    ("vmap, compiled by aot_eager", torch.compile(rows, backend="aot_eager")),
    ("no vmap, compiled", torch.compile(whole)),
):
    x = torch.rand(3, 2, 2, 64, 64, requires_grad=True)
    out = function(x)
    out.sum().backward()
    of_scores, of_values = (float((x.grad[:, part] != 0).double().mean()) for part in (0, 1))
    told = f"output {float((out != 0).double().mean()):.2f} [1.00], gradient of scores {of_scores:.2f} [1.00]"
    print(f"{what}: not 0 are, of the {told}, of values {of_values:.2f} [1.00]")
