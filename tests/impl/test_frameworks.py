"""The adapters of frameworks that are extras: each is tested where its framework is installed, else skipped."""

import importlib.util
import json
import os
import re
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
print(json.dumps(answers))
"""


@pytest.fixture(scope="module", params=NEEDS)
def answers(request):
    for package in NEEDS[request.param]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    asked = [sys.executable, "-c", QUESTIONS, request.param, json.dumps(VALUES)]
    run = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
    return {"file": request.param, **json.loads(run.stdout.splitlines()[-1])}


def test_an_adapter_is_named_after_its_file(answers):
    assert answers["name"] == answers["file"].replace("_", "-")
    assert answers["layout"] in ("channels_first", "channels_last")


def test_values_go_there_and_back_exactly(answers):
    assert answers["exact"]
    assert all(answers["exact"].values()), answers["exact"]


def test_a_seed_decides_the_masks(answers):
    assert answers["seeded"]
    assert answers["differ"]  # 4,096 fair draws are equal with a chance of 2^-4096


def test_evaluation_is_the_identity(answers):
    assert answers["evaluated"]


def test_a_square_is_differentiated_and_transformed(answers):
    assert answers["square"] in (None, [9, 12])  # 2 · 2 · 3; None where there are no gradients
    assert all(out == [9] * 5 for out in answers["transformed"].values()), answers["transformed"]


def test_what_is_compiled_may_start_no_kernel_and_can_be_differentiated(answers):
    assert answers.get("compiled") in (None, [3] * 4)
    assert answers.get("gradients") in (None, [12] * 4)


DEVICES = """
import importlib, json, sys
import numpy as np
backend = importlib.import_module("keeprate.impl.backends." + sys.argv[1])
backend.use("cpu:1")
backend.seed(1)
x = backend.asarray(np.ones((64, 64), np.float32), "float32")
y = backend.dropout(x, 0.5, True)
(there,), (given,) = y.devices(), x.devices()
kept = float((backend.asnumpy(y) > 0).mean())
print(json.dumps([list(backend.devices), backend.device, there.id, given.id, kept]))
"""


@pytest.mark.parametrize("name", ["equinox", "flax_linen", "flax_nnx", "keras_jax"])
def test_jaxs_adapters_compute_on_the_device_that_they_are_told_to_use(name):
    """Of two CPUs, which JAX makes of one. Half of 4,096 draws, to 8 deviations."""
    for package in ("jax", *NEEDS[name]):
        pytest.importorskip(package, reason=f"{package} is not installed")
    two = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    asked = [sys.executable, "-c", DEVICES, name]
    run = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True, env=two)
    devices, device, there, given, kept = json.loads(run.stdout.splitlines()[-1])
    assert {"cpu", "cpu:0", "cpu:1"} <= set(devices)
    assert (device, there, given) == ("cpu:1", 1, 1)
    assert abs(kept - 0.5) < 8 * 0.5 / 64


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
        for pattern, reason, _ in read_known(path).lines:
            assert any(fnmatchcase(id, pattern) for id in ids), f"{path.name}: {pattern}"
            assert re.search(r"keras\.layers|ONNX|paddle\.nn|mlx\.nn|MCG31|torch\.known", reason), reason


def test_jax_keeps_what_it_compiles_unless_a_person_has_said_where(tmp_path):
    pytest.importorskip("jax", reason="jax is not installed")
    code = "from keeprate.impl.backends import _jax; import jax; print(jax.config.jax_compilation_cache_dir)"
    for name, where in (("JAX_COMPILATION_CACHE_DIR", tmp_path), ("XDG_CACHE_HOME", tmp_path / "keeprate" / "jax")):
        env = {**os.environ, name: str(tmp_path)}
        run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=env)
        assert run.stdout.strip() == str(where)
