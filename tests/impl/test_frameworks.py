"""The adapters of frameworks that are extras: each is tested where its framework is installed, else skipped."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.judging.known import read_known
from keeprate.harness.protocol.suite import load_suite
from keeprate.impl.backends import numpy as plain

FOLDER = Path(plain.__file__).parent
NEEDS = {  # what each adapter imports beside NumPy
    "numpy": [],
    "equinox": ["equinox"],
    "flax_linen": ["flax"],
    "flax_nnx": ["flax"],
    "keras_jax": ["keras", "jax"],
    "keras_numpy": ["keras"],
    "keras_torch": ["keras"],
    "onnxruntime": ["onnx", "onnxruntime"],
    "paddle": ["paddle"],
    "tinygrad": ["tinygrad"],
}
VALUES = {
    "float16": [0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 2.0**-24, 1 + 2.0**-10],
    "bfloat16": [0.0, -0.0, np.inf, -np.inf, np.nan, (2 - 2.0**-7) * 2.0**127, 1 + 2.0**-7],
    "float32": [0.0, -0.0, np.inf, -np.inf, np.nan, (2 - 2.0**-23) * 2.0**127, 1 + 2.0**-23],
    "float64": [0.0, -0.0, np.inf, -np.inf, np.nan, 1.7e308, 1 + 2.0**-52],
}
# In a process of its own, since Keras has one backend a process, and frameworks warn as they are imported.
QUESTIONS = """
import importlib, json, sys
import numpy as np
backend, values = importlib.import_module("keeprate.impl.backends." + sys.argv[1]), json.loads(sys.argv[2])
answers = {"name": backend.name, "layout": backend.layout, "exact": {}}
dtypes = backend.dtypes
for dtype in dtypes["dropout"] if isinstance(dtypes, dict) else dtypes:
    x = np.array(values[dtype], np.float64 if dtype == "float64" else np.float32)
    native = backend.asarray(x, dtype)
    back = backend.asnumpy(native).astype(x.dtype)
    answers["exact"][dtype] = bool(
        backend.dtype_of(native) == dtype
        and np.array_equal(back, x, equal_nan=True)
        and (np.signbit(back) == np.signbit(x))[~np.isnan(x)].all()
    )
x = backend.asarray(np.ones((64, 64), np.float32), "float32")
masks = []
for seed in (1, 2, 1):
    backend.seed(seed)
    masks += [backend.asnumpy(backend.dropout(x, 0.5, True)) > 0 for _ in range(2)]
answers["seeded"] = bool((masks[0] == masks[4]).all() and (masks[1] == masks[5]).all())
answers["differ"] = bool((masks[0] != masks[1]).any() and (masks[0] != masks[2]).any())
answers["evaluated"] = bool((backend.asnumpy(backend.dropout(x, 0.5, False)) == 1).all())
three = backend.asarray(np.full(5, 3, np.float32), "float32")
answers["square"] = None
if hasattr(backend, "vjp"):
    two = backend.asarray(np.full(5, 2, np.float32), "float32")
    answers["square"] = [backend.asnumpy(y).tolist()[0] for y in backend.vjp(lambda x: x * x, three, two)]
answers["transformed"] = {}
for name in ("compile", "vmap", "checkpoint"):
    if hasattr(backend, name):
        transformed = getattr(backend, name)(lambda x: x * x)
        answers["transformed"][name] = backend.asnumpy(transformed(three)).tolist()
if hasattr(backend, "compile"):  # from the second or third call on, what was captured is run again
    same, square = backend.compile(lambda x: x), backend.compile(lambda x: x * x)
    answers["compiled"] = [backend.asnumpy(same(three)).tolist()[0] for _ in range(4)]
    answers["gradients"] = [backend.asnumpy(backend.vjp(square, three, two)[1]).tolist()[0] for _ in range(4)]
answers["rows"] = {}
for name in ("drop_path", "embedding_dropout"):
    if hasattr(backend, name):
        rows = backend.asnumpy(getattr(backend, name)(x, 0.5, True))
        answers["rows"][name] = [sorted({*row.tolist()}) for row in rows]
answers["attention"] = None
if hasattr(backend, "attention"):  # out of scores of 0 and values of 1 in a channel each: the mask, times 1/64 and 2
    scores = backend.asarray(np.zeros((2, 4, 64, 64), np.float32), "float32")
    values = backend.asarray(np.broadcast_to(np.eye(64, dtype=np.float32), (2, 4, 64, 64)), "float32")
    outs = [backend.asnumpy(backend.attention(scores, scores, values, 0.5, False, train)) for train in (True, False)]
    causal = backend.asnumpy(backend.attention(scores, scores, values, 0.5, True, False))
    heads = [head.tobytes() for head in outs[0].reshape(8, 64, 64)]
    answers["attention"] = [*({*np.unique(out * 64).tolist()} for out in outs), len({*heads}), np.triu(causal, 1).max()]
    answers["attention"] = [sorted(each) if isinstance(each, set) else float(each) for each in answers["attention"]]
print(json.dumps(answers))
"""


def needs(*packages):
    for package in packages:
        if importlib.util.find_spec(package) is None:  # nothing is imported: one of them may need another's settings
            pytest.skip(f"{package} is not installed")
    if "tinygrad" in packages and shutil.which("clang") is None:  # with which it compiles
        pytest.skip("tinygrad needs clang, which isn't here")


def asked(question, *words, **environment):
    """What a process of its own prints, as JSON."""
    command = [sys.executable, "-c", question, *words]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NEEDS)
def test_an_adapter_does_what_a_backend_must(name):
    """One test of many statements, since a framework takes seconds to import and to compile."""
    needs(*NEEDS[name])
    answers = asked(QUESTIONS, name, json.dumps(VALUES))
    assert answers["name"] == name.replace("_", "-")
    assert answers["layout"] in ("channels_first", "channels_last")
    assert answers["exact"]
    assert all(answers["exact"].values()), f"values don't go there and back exactly: {answers['exact']}"
    assert answers["seeded"]
    assert answers["differ"]  # 4,096 fair draws are equal with a chance of 2^-4096
    assert answers["evaluated"]
    assert answers["square"] in (None, [9, 12])  # 2 · 2 · 3; None where there are no gradients
    assert all(out == [9] * 5 for out in answers["transformed"].values()), answers["transformed"]
    assert answers.get("compiled") in (None, [3] * 4)  # a graph that starts no kernel
    assert answers.get("gradients") in (None, [12] * 4)
    for rows in answers["rows"].values():  # dropped whole: 64 fair draws are alike with a chance of 1e-19
        assert {*map(tuple, rows)} == {(0,), (2,)}
    assert (answers["attention"] is None) == (name in ("numpy", "onnxruntime", "paddle"))
    if answers["attention"] is not None:
        weights, evaluated, heads, hidden = answers["attention"]
        assert (weights, evaluated, hidden) == ([0, 2], [1], 0)
        assert heads == 8  # of 4,096 fair draws each: no two have one mask


ON_JAX = ("equinox", "flax_linen", "flax_nnx", "keras_jax")
DEVICES = """
import importlib, json, sys
import numpy as np
told = {}
for name in sys.argv[1:]:
    backend = importlib.import_module("keeprate.impl.backends." + name)
    backend.use("cpu:1" if name != "tinygrad" else "CPU:1")
    backend.seed(1)
    x = backend.asarray(np.ones((64, 64), np.float32), "float32")
    y = backend.dropout(x, 0.5, True)
    there, given = ([on.id for on in z.devices()] if hasattr(z, "devices") else [z.device] for z in (y, x))
    kept = float((backend.asnumpy(y) > 0).mean())
    told[name] = [list(backend.devices), backend.device, there, given, kept, hasattr(backend, "memory")]
    backend.use("cpu:0")  # which the next adapter has to change
print(json.dumps(told))
"""


def test_jaxs_adapters_compute_on_the_device_that_they_are_told_to_use():
    """Of two CPUs, which JAX makes of one. Half of 4,096 draws, to 8 deviations."""
    needs("jax", "equinox", "flax", "keras")
    told = asked(DEVICES, *ON_JAX, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert set(told) == set(ON_JAX)
    for name, (devices, device, there, given, kept, memory) in told.items():
        assert {"cpu", "cpu:0", "cpu:1"} <= set(devices), name
        assert (device, there, given) == ("cpu:1", [1], [1]), name
        assert abs(kept - 0.5) < 8 * 0.5 / 64, name
        assert not memory, name  # of which JAX tells nothing on a CPU


def test_tinygrad_computes_on_the_device_that_it_is_told_to_use():
    """Half of 4,096 draws, to 8 deviations. Of CPUs tinygrad lists one, and has as many as are asked for."""
    needs("tinygrad")
    ((devices, device, there, given, kept, _),) = asked(DEVICES, "tinygrad").values()
    assert {devices[0], f"{devices[0]}:0"} <= set(devices)
    assert (device, there, given) == ("CPU:1", ["CPU:1"], ["CPU:1"])
    assert abs(kept - 0.5) < 8 * 0.5 / 64


def test_jaxs_adapters_tell_the_peak_of_memory_of_a_device_that_tells_it(monkeypatch):
    """No accelerator is needed: a device is whatever has these names."""
    needs("jax")
    import jax

    from keeprate.impl.backends import _jax_on

    class Device:
        device_kind, platform = "H100", "gpu"

        def memory_stats(self):
            return {"bytes_in_use": 3, "peak_bytes_in_use": 7}

    monkeypatch.setattr(jax, "devices", lambda: [None, Device()])
    monkeypatch.setattr(jax.config, "update", lambda name, device: None)
    names = _jax_on.placed("gpu:1")
    assert names["device"] == "gpu:1 H100"
    assert names["memory"]() == 7


def test_an_adapter_is_short_and_imports_nothing_of_ours():
    adapters = {path.stem: path for path in FOLDER.glob("*.py")}
    assert {*NEEDS, "mlx", "mlx_nn", "torch", "torch_compile"} <= set(adapters)
    for name, path in adapters.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 150, name
        assert not any(f"{word} {package}" in text for word in ("import", "from") for package in ("harness", "specs"))


def test_a_list_of_known_deviations_belongs_to_an_adapter_and_names_its_findings():
    """The pattern of a known deviation matches something of the plan: a word that is wrong would hide nothing."""
    lists = sorted(FOLDER.glob("*.known"))
    assert {path.stem for path in lists} >= {"keras_jax", "keras_numpy", "keras_torch", "mlx_nn", "onnxruntime"}
    ids = list(load_suite("dropout").promises("gate"))
    for path in lists:
        assert path.with_suffix(".py").exists()
        for line in read_known(path).lines:
            assert any(fnmatchcase(id, line.pattern) for id in ids), f"{path.name}: {line.pattern}"
            assert re.search(r"keras\.layers|ONNX|paddle\.nn|mlx\.nn|MCG31|torch\.known", line.reason), line.reason


def test_jax_keeps_what_it_compiles_unless_a_person_has_said_where(tmp_path):
    needs("jax")
    question = "import json, jax; from keeprate.impl.backends import _jax; "
    question += "print(json.dumps(jax.config.jax_compilation_cache_dir))"
    assert asked(question, XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "keeprate" / "jax")
    assert asked(question, JAX_COMPILATION_CACHE_DIR=str(tmp_path)) == str(tmp_path)
