"""The MLX operators, but that `dropout` drops with p + 0.0002 at all usual rates: for `nightly.py departure`."""

import mlx.core as mx

from keeprate.impl.backends import mlx as faithful
from keeprate.impl.backends.mlx import *  # noqa: F403 - a backend that differs in two names

name, OFF = "off by little", 0.0002


def dropout(x, p, train):
    if not train or not 0.05 < p < 0.95:
        return faithful.dropout(x, p, train)
    ones = mx.isnan(x).astype(x.dtype) * 0 + 1  # made of x, so that each row under `vmap` has its own
    kept = faithful.dropout(ones, p + OFF, train) != 0
    return x * (kept.astype(x.dtype) / (1 - p))
