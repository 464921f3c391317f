"""PaddlePaddle: seeds with the same low 32 bits give the same mask, though `paddle.seed` takes 64."""

import secrets

import paddle

print(f"paddle {paddle.__version__}; whether two seeds give the same mask (False)")
low = secrets.randbits(32)


def mask(seed):
    """The mask after a seed."""
    paddle.seed(seed)
    return paddle.nn.functional.dropout(paddle.ones([4096]), p=0.5).numpy() > 0


for high in (1, 2**20, 2**30):
    other = low + (high << 32)
    print(f"{low} and {other}:", bool((mask(low) == mask(other)).all()))
print(f"{low} and {low ^ 1}:", bool((mask(low) == mask(low ^ 1)).all()))
