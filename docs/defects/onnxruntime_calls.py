"""ONNX Runtime: from run to run a Dropout in training mode hardly changes the first entries of its mask.

Each run seems to seed a linear congruential generator with a seed one higher than the run before. After set_seed(s) the
second run's mask is also that of the first run after set_seed(s + 1).
"""

import secrets

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

info = helper.make_tensor_value_info
graph = helper.make_graph(
    [helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])],
    "dropout",
    [info("x", TensorProto.FLOAT, None), info("ratio", TensorProto.FLOAT, []), info("training", TensorProto.BOOL, [])],
    [info("y", TensorProto.FLOAT, None)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
feed = {"x": np.ones(64, np.float32), "ratio": np.array(0.5, np.float32), "training": np.array(True)}


def masks(seed: int, runs: int) -> np.ndarray:
    """The masks of the first runs after `seed`."""
    onnxruntime.set_seed(seed)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.array([session.run(None, feed)[0] for _ in range(runs)]) > 0


seed = secrets.randbits(30)
kept = masks(seed, 2000)
print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, seed {seed}; 2,000 runs at ratio 0.5")
print("kept, by position (0.5 each):          ", kept.mean(axis=0)[:6].round(2))
print("changed since the run before (0.5 each):", (kept[1:] != kept[:-1]).mean(axis=0)[:6].round(2))
print("run 2 after seed s is run 1 after s + 1:", (masks(seed, 2)[1] == masks(seed + 1, 1)[0]).all(), "(False)")
