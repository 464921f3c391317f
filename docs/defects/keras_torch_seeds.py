"""Keras on PyTorch: layers seeded with neighbouring integers draw the same masks, one call apart."""

import os
import secrets

os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
import torch

seed = secrets.randbits(30)
x = np.ones((64, 64), "float32")
one, other = keras.layers.Dropout(0.5, seed=seed), keras.layers.Dropout(0.5, seed=seed + 1)
first = [one(x, training=True).numpy() for _ in range(5)]
second = [other(x, training=True).numpy() for _ in range(5)]
print(f"keras {keras.__version__}, torch {torch.__version__}, seed {seed}")
equal = [bool((a == b).all()) for a, b in zip(first[1:], second, strict=False)]
print("call n + 1 of seed s gives the mask of call n of s + 1:", equal, "(all False)")
