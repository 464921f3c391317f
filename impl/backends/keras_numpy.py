"""Keras on NumPy, which has no gradients and no transforms."""

import numpy as np

from keeprate.impl.backends import _keras
from keeprate.impl.backends import numpy as _numpy

_k = _keras.load("numpy")
name, version, device, layout = "keras-numpy", f"{_k.__version__} on numpy {np.__version__}", "cpu", _keras.layout
dtypes = _numpy.dtypes
seed, asarray, asnumpy, dtype_of = _keras.seed, _numpy.asarray, _numpy.asnumpy, _keras.dtype_of
dropout, alpha_dropout = _keras.dropout, _keras.alpha_dropout
dropout1d, dropout2d, dropout3d = _keras.dropout1d, _keras.dropout2d, _keras.dropout3d
feature_dropout, feature_alpha_dropout = _keras.feature_dropout, _keras.feature_alpha_dropout
variational_dropout, drop_path = _keras.variational_dropout, _keras.drop_path
embedding_dropout, attention = _keras.embedding_dropout, _keras.attention
