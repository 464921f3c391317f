"""Keras on PyTorch: under `RematScope` and `keras.remat` the backward pass has another mask than the forward pass."""

import os
import secrets

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch

keras.utils.set_random_seed(secrets.randbits(30))
print(f"keras {keras.__version__}, torch {torch.__version__}")
for layer in (
    keras.layers.Dropout(0.5, seed=secrets.randbits(30)),
    keras.layers.SpatialDropout1D(0.5),
    keras.layers.AlphaDropout(0.5),
):
    for scope in (None, "full"):
        x = torch.ones(64, 1, 64, requires_grad=True)
        with keras.RematScope(mode=scope):
            out = type(layer).from_config(layer.get_config())(x, training=True)
        out.sum().backward()
        kept_forward, kept_backward = out.detach() > out.detach().mean(), x.grad != 0
        wrong = int((kept_forward != kept_backward).sum())
        print(f"{type(layer).__name__}, remat {scope}: {wrong} of {out.numel()} gradients belong to another mask (0)")
