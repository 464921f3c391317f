"""Keras on PyTorch: the output of `Dropout(1.0)` is cut off from the graph, so that a backward pass raises."""

import os

os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch

print(f"keras {keras.__version__}, torch {torch.__version__}")
for name, layer in {"torch": torch.nn.Dropout(1.0), "keras": keras.layers.Dropout(1.0)}.items():
    x = torch.ones(4, requires_grad=True)
    out = layer(x) if name == "torch" else layer(x, training=True)
    try:
        out.sum().backward()
        print(f"{name}: gradient {x.grad.tolist()}")
    except RuntimeError as error:
        print(f"{name}: RuntimeError: {error}")
