"""Keras, any backend: `AlphaDropout(rate=1)` is taken by its constructor, and divides by zero when it is called."""

import keras
import numpy as np

print(f"keras {keras.__version__} on {keras.config.backend()}")
x = np.ones((2, 3), "float32")
print("Dropout(1.0):", np.asarray(keras.layers.Dropout(1.0)(x, training=True)).tolist())
layer = keras.layers.AlphaDropout(1.0)  # the documentation: a float between 0 and 1, and 1 passes the check
try:
    print("AlphaDropout(1.0):", np.asarray(layer(x, training=True)).tolist())
except ZeroDivisionError as error:
    print("AlphaDropout(1.0): ZeroDivisionError:", str(error).splitlines()[2])
