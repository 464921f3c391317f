"""PaddlePaddle: `dropout1d` drops the same channels in every sample of a batch."""

import secrets

import paddle

seed = secrets.randbits(31)
paddle.seed(seed)
print(f"paddle {paddle.__version__}, seed {seed}; different masks among 64 samples of 32 channels (64 each)")
x = paddle.ones([64, 32, 4])
for _ in range(3):
    kept = paddle.nn.functional.dropout1d(x, p=0.5).numpy()[:, :, 0] > 0
    print("dropout1d:", len({row.tobytes() for row in kept}))
kept = paddle.nn.functional.dropout2d(x.unsqueeze(-1), p=0.5).numpy()[:, :, 0, 0] > 0
print("dropout2d:", len({row.tobytes() for row in kept}))
