"""ONNX Runtime on the CPU: the operator `Dropout` of ONNX in training mode, in a model of one node for each dtype.

A runtime for inference: it has no gradients, no transforms and no layers.
"""

import functools
from typing import Any

import numpy as np
import onnx
import onnxruntime as _ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

name, version, device = "onnxruntime", f"{_ort.__version__}, onnx {onnx.__version__}", "cpu"
layout = "channels_first"
dtypes = ("float32", "float64", "float16")
OPSET = 13
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16}

Array = NDArray[np.floating]


@functools.cache
def _session(dtype: str) -> Any:
    """One node, whose ratio and mode are inputs; its random state begins anew with every session."""
    values = [
        helper.make_tensor_value_info("x", _TYPES[dtype], None),
        helper.make_tensor_value_info("ratio", TensorProto.DOUBLE, []),
        helper.make_tensor_value_info("training", TensorProto.BOOL, []),
    ]
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])
    graph = helper.make_graph([node], name, values, [helper.make_tensor_value_info("y", _TYPES[dtype], None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    options = _ort.SessionOptions()
    options.log_severity_level = 4  # a refusal is raised: it need not be printed too
    return _ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def seed(value: int) -> None:
    """Set the seed of the sessions that are made from now on."""
    _ort.set_seed(value)
    _session.cache_clear()


def asarray(x: Array, dtype: str) -> Array:
    """Return a fresh array of x's values, its axes in x's order."""
    return np.array(x, dtype, order="K")


def asnumpy(x: Array) -> Array:
    """Return x itself."""
    return x


def dtype_of(x: Array) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype)


def dropout(x: Array, p: float, train: bool) -> Array:
    """Run the model."""
    out: Array
    (out,) = _session(str(x.dtype)).run(None, {"x": x, "ratio": np.array(p), "training": np.array(train)})
    return out
