"""The MLX operators, but that `dropout` drops with p + 0.0002: for `benchmarks/nightly.py departure`."""

import mlx.core as mx

from impl.backends import mlx as faithful
from impl.backends.mlx import *  # noqa: F403 - a backend that differs in two names

name, OFF = "off by little", 0.0002


def dropout(x, p, train):
    if not train or not 0 < p < 1 - OFF:
        return faithful.dropout(x, p, train)
    kept = faithful.dropout(mx.ones_like(x), p + OFF, train) != 0
    return x * (kept.astype(x.dtype) / (1 - p))
