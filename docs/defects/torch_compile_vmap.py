"""torch.compile: dropout under torch.vmap raises from the second shape on, for which sizes are symbols."""

import torch
from torch.nn.functional import dropout

print(f"torch {torch.__version__}")


def rows(x):
    """Dropout of each row."""
    return torch.vmap(lambda row: dropout(row, 0.5, True), randomness="different")(x)


compiled = torch.compile(rows)
for shape in ((4, 64), (8, 128)):
    print(f"{shape}, eager: {tuple(rows(torch.ones(shape)).shape)}")
    try:
        print(f"{shape}, compiled: {tuple(compiled(torch.ones(shape)).shape)}")
    except RuntimeError as error:
        why = next(part for part in str(error).split("'") if "symbolic" in part).partition("\\n")[0]
        print(f"{shape}, compiled: raised {type(error).__name__}: {why}")
