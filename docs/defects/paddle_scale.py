"""PaddlePaddle: in float64 what is kept is scaled by 1/(1 − p) of a p in float32; and p = NaN is taken."""

import paddle
from paddle.nn import functional as F

print(f"paddle {paddle.__version__}")
x = paddle.ones([1000], dtype="float64")
for p in (0.1, 0.3, 0.999):
    print(f"p = {p}: a kept 1 becomes {float(F.dropout(x, p=p).max()):.17g} ({1 / (1 - p):.17g})")
for operator in (F.dropout, F.alpha_dropout):
    try:
        y = operator(x, p=float("nan"))
        print(f"{operator.__name__}, p = NaN: gives {y.numpy()[:3]} (refused)")
    except (ValueError, RuntimeError) as error:
        print(f"{operator.__name__}, p = NaN: refused, {type(error).__name__}")
