"""What helps the author of a backend: from nothing to a verdict, and an adapter at fault is told from a framework."""

import functools
import re

import numpy as np
import pytest

from keeprate.harness.commands.author import remedy
from keeprate.harness.protocol.orders import compared, in_order
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.adapter import check
from keeprate.specs.dropout.contracts import CONTRACTS

SUITE = load_suite("dropout")


class Adapter:
    """A right adapter with one operator, on NumPy arrays."""

    layout = "channels_first"
    dtypes = ("float32", "float16")

    def seed(self, value):
        self.random = np.random.default_rng(value)

    def asarray(self, x, dtype):
        return np.array(x, dtype)

    def asnumpy(self, x):
        return x

    def dtype_of(self, x):
        return str(x.dtype)

    def dropout(self, x, p, train):
        return x * (self.random.random(x.shape) >= p)

    def vjp(self, fn, x, cotangent):
        out, ahead = fn(x), fn(x + 1)
        return out, (ahead - out - 1) * cotangent  # of a square

    def compile(self, fn):
        return fn

    def vmap(self, fn):
        return lambda x: np.stack([fn(row) for row in x])

    def linearize(self, fn, x):
        return fn(x), lambda cotangent: Adapter.vjp(self, fn, x, cotangent)[1]

    jvp = vjp

    def get_state(self):
        return self.random.bit_generator.state

    def set_state(self, state):
        self.random.bit_generator.state = state


def wrong(adapter):
    return [f"{look.what}: {look.wrong}" for look in check(adapter) if look.wrong]


def test_a_right_adapter_is_right_and_what_it_lacks_is_said():
    assert wrong(Adapter()) == []
    assert {look.what for look in check(Adapter()) if look.skipped} == {"checkpoint", "module", "pack"}


FAULTS = {
    "asarray": lambda self, x, dtype: np.nan_to_num(np.array(x, dtype)),
    "asnumpy": lambda self, x: x.astype(np.float16),
    "dtype_of": lambda self, x: "float32",
    "seed": lambda self, value: setattr(self, "random", np.random.default_rng(0)),
    "linearize": lambda self, fn, x: (fn(x), lambda cotangent: cotangent),
    "jvp": lambda self, fn, x, tangent: (fn(x), tangent),
    "set_state": lambda self, state: None,
    "vjp": lambda self, fn, x, cotangent: (fn(x), cotangent),
    "compile": lambda self, fn: (lambda first: lambda x: first.setdefault("y", fn(x)))({}),
    "vmap": lambda self, fn: lambda x: fn(x[:1]),
    "checkpoint": lambda self, fn: lambda x: fn(fn(x)),
    "module": lambda self, op, p: lambda x: x,
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_an_adapter_is_found(name):
    adapter = type("Faulty", (Adapter,), {name: FAULTS[name], "dtypes": ("float32", "float16")})()
    found = wrong(adapter)
    assert len(found) == 1 or name in ("asarray", "asnumpy", "vjp", "compile", "checkpoint")
    assert found


class MuteError(ValueError):
    def __str__(self):
        raise ZeroDivisionError


class Nameless(type):
    @property
    def __name__(cls):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MuteError, "MuteError: (its text can't be had: ZeroDivisionError)"),
        (Nameless("NamelessError", (ValueError,), {}), "an exception without a name: (no message)"),
    ],
    ids=["no text", "no name"],
)
def test_an_adapter_that_raises_what_can_not_be_told_is_at_fault(error, says):
    def asarray(self, x, dtype):
        raise error

    found = wrong(type("Faulty", (Adapter,), {"asarray": asarray})())
    assert f"asarray and asnumpy keep float32: raised {says}" in found


NONE = "there is an operator to judge: none of dropout, dropout_, "


def first_shape_alone(self, fn):
    """What was compiled for one shape is taken for all."""
    shapes = []

    def compiled(x):
        shapes.append(x.shape)
        return fn(x) if x.shape == shapes[0] else fn(np.zeros(shapes[0], x.dtype))

    return compiled


def test_a_function_that_was_compiled_for_one_shape_is_tried_on_another_and_blamed_on_the_framework():
    adapter = type("FirstShape", (Adapter,), {"compile": first_shape_alone})()
    (look,) = [look for look in check(adapter) if look.wrong]
    assert look.what.startswith("compile goes on to another shape")
    assert look.law == "gradient"


class Unmultiplied(np.ndarray):
    """Half-precision arrays of a framework that multiplies no such numbers."""

    def __mul__(self, other):
        if self.dtype == np.float16:
            raise RuntimeError("no product of halves")
        return super().__mul__(other)


def test_transforms_are_tried_in_a_dtype_that_the_framework_multiplies():
    asarray = lambda self, x, dtype: np.array(x, dtype).view(Unmultiplied)  # noqa: E731
    names = {"dtypes": ("float16", "float32"), "asarray": asarray, "dropout": lambda self, x, p, train: x}
    looks = list(check(type("Halves", (Adapter,), names)()))
    assert not [look for look in looks if look.wrong and not look.law]
    assert not any(look.skipped for look in looks if look.what.startswith(("vjp", "compile", "vmap")))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("drop_out", "Did you mean dropout for drop_out?"), ("toss", f"{[*CONTRACTS][-1]} is defined")],
)
def test_an_adapter_without_an_operator_is_not_right(name, meant):
    (found,) = wrong(type("Misspelt", (Adapter,), {"dropout": None, name: Adapter.dropout})())
    assert found.startswith(NONE) and found.endswith(meant)


def test_a_misspelt_operator_gets_no_verdict(keeprate, backend_file):
    name = backend_file(("def dropout(", "def drop_out("))
    checked = keeprate("check", name)
    assert checked.code == 1 and "Did you mean dropout for drop_out?" in " ".join(checked.out.split())
    run = keeprate("gate", "--backend", name, "--profile", "quick", "-n", "1")
    assert run.code == 3
    assert "Did you mean dropout for drop_out? All that is wrong with it: " in " ".join(run.err.split())


def keyed(self, x, p, *, key):
    return x


@functools.wraps(keyed)
def hidden(self, x, p, train):
    return x * (self.random.random(x.shape) >= p)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"dropout": lambda self, x, p: x}, "dropout can't be called as dropout(x, p, train): too many positional"),
        ({"dropout": keyed}, "dropout can't be called as dropout(x, p, train): too many positional arguments"),
        ({"dropout": 0.5}, "dropout can't be called as dropout(x, p, train): 0.5 is not a callable object"),
        ({"seed": lambda self: None}, "seed can't be called as seed(value): too many positional arguments"),
        ({"dropout": keyed, "dropout1d": keyed}, "; nor can dropout1d"),
        ({"dropout2d": keyed}, "dropout2d can't be called as dropout2d(x, p, train): "),
    ],
)
def test_an_operator_that_takes_something_else_is_the_adapters_fault(names, says):
    looks = [look for look in check(type("Keyed", (Adapter,), names)()) if look.wrong]
    assert [look.law for look in looks] == [""]
    assert says in looks[0].wrong


@pytest.mark.parametrize("operator", [hidden, lambda self, *more: hidden(self, *more), None])
def test_what_is_really_called_is_looked_at(operator):
    names = {"dropout": operator, "dropout_": np.multiply}  # of a function in C nothing is known
    assert wrong(type("Other", (Adapter,), names if operator else {"dropout1d": Adapter.dropout})()) == []


def changed(*values):
    """An `asnumpy` that changes these values."""

    def asnumpy(self, x):
        x = x.copy()
        for value, other in values:
            x[(x == value) & (np.signbit(x) == np.signbit(value))] = other
        return x

    return asnumpy


LEAST = 2.0**-126


@pytest.mark.parametrize(
    ("value", "other"),
    [(-0.0, 0.0), (0.0, -0.0), ((2 - 2**-23) * 2.0**127, np.inf), (-LEAST, 0.0), (3 * 2**-23 * LEAST, 0.0)],
)
def test_signs_of_zero_and_the_ends_of_the_range_are_looked_at(value, other):
    adapter = type("Faulty", (Adapter,), {"asnumpy": changed((np.float32(value), other)), "dtypes": ("float32",)})()
    (found,) = wrong(adapter)
    assert found.endswith(f"{value:g} comes back as {other:g}")


def test_a_seed_without_effect_may_be_the_adapters_fault_or_the_frameworks(keeprate, backend_file):
    """Both are said by the check and by the verdict; whose fault it is only the author can tell."""
    name = backend_file(("default_rng(value)", "default_rng(0)"))
    checked = keeprate("check", name)
    assert checked.code == 1
    assert "is the adapter's fault, or the framework's is broken" in " ".join(checked.out.split()).replace("which ", "")
    run = keeprate("gate", "--backend", name, "--profile", "quick", "--dtypes", "float32", "-n", "1")
    assert run.code == 1
    assert "or its adapter doesn't pass the seed on" in " ".join(run.out.split())


def test_a_framework_that_keeps_state_between_cases_is_said_to(keeprate, backend_file):
    """A fault that stays for good shows in a fresh process alone, and nobody's seed reaches it."""
    once = "    global _evaluated\n    _evaluated |= not train\n    p = p / 2 if _evaluated else p\n"
    name = backend_file(
        ("def dropout(x, p, train):\n", f"_evaluated = False\n\n\ndef dropout(x, p, train):\n{once}"),
    )
    checked = keeprate("check", name)
    assert checked.code == 1
    told = " ".join(checked.out.split())
    assert "WRONG a seed gives the same, whatever ran before it after the same seed dropout gives output " in told
    assert "after nothing, and output" in told.replace("and gives output", "and output")
    assert "dropout in evaluation: it depends on what ran before" in told


def lost_gradients():
    """Whatever was compiled and called once is called without a gradient for ever."""

    class Lost(Adapter):
        traced = ""

        def compile(self, fn):
            def compiled(x):
                self.traced = self.traced or "call"
                return fn(x)

            return compiled

        def vjp(self, fn, x, cotangent):
            self.traced = self.traced or ("pass" if fn.__name__ == "compiled" else "")
            if fn.__name__ == "compiled" and self.traced == "call":
                raise RuntimeError("no gradient was traced")
            return fn(x), cotangent

    return Lost()


def test_two_orders_show_a_gradient_that_is_lost_for_good():
    calls = SUITE.calls(lost_gradients())
    found = compared(in_order(calls), in_order(SUITE.calls(lost_gradients()), [*calls][::-1]))
    assert (
        "dropout under compile, its gradient raises RuntimeError after dropout under compile, and gives" in found.wrong
    )


def test_calls_that_follow_from_a_seed_are_the_same_in_both_orders():
    calls = SUITE.calls(Adapter())
    assert {"dropout", "dropout in evaluation", "dropout's gradient", "dropout under vmap"} <= calls.keys()
    found = compared(in_order(calls), in_order(SUITE.calls(Adapter()), [*calls][::-1]))
    assert not found.wrong and not found.skipped
    unseeded = type("Unseeded", (Adapter,), {"seed": lambda self, value: None, "random": np.random.default_rng()})
    assert compared(in_order(SUITE.calls(unseeded())), {}).skipped


def test_an_operator_may_write_to_memory_that_its_adapter_shares_with_the_judge():
    class Writing(Adapter):
        dropout = None

        def asarray(self, x, dtype):
            return x.astype(dtype, copy=False)

        def dropout_(self, x, p, train):
            x *= (self.random.random(x.shape) >= p) / (1 - p)
            return x

    assert wrong(Writing()) == []


def test_what_an_adapter_raises_is_told():
    def refuse(self, x, dtype):
        raise TypeError("no such array")

    (first, *_) = wrong(type("Raising", (Adapter,), {"asarray": refuse})())
    assert first.endswith("raised TypeError: no such array")


def test_from_nothing_to_a_verdict(keeprate, tmp_path):
    path = tmp_path / "mine.py"
    assert keeprate("init", str(path)).code == 0
    checked = keeprate("check", str(path))
    assert checked.code == 0 and "The adapter is right" in checked.out
    run = keeprate("gate", "--backend", str(path), "--profile", "quick", "--dtypes", "float32", "-n", "1")
    assert run.code == 0, run.out
    again = keeprate("init", str(path))
    assert again.code == 2 and "already exists and was not changed" in again.err


def test_an_adapter_at_fault_is_no_verdict_on_the_framework(keeprate, tmp_path):
    path = tmp_path / "faulty.py"
    text = SUITE.template.read_text(encoding="utf-8")
    path.write_text(
        text.replace("    return x\n\n\ndef dtype_of", "    return x * 2\n\n\ndef dtype_of"), encoding="utf-8"
    )
    run = keeprate("gate", "--backend", str(path), "--profile", "quick", "-n", "1")
    assert run.code == 3
    assert "its adapter is at fault, not the framework" in " ".join(run.err.split())
    assert keeprate("check", str(path)).code == 1


def test_every_law_is_explained_with_the_defects_that_it_would_have_caught(keeprate):
    for law in ("keep_rate", "gradient", "modes"):
        run = keeprate("explain", law)
        assert run.code == 0 and SUITE.by_name[law].promise.split()[0] in run.out and "Shipped: " in run.out
    assert keeprate("explain", "keep_rat").code == 2


def test_real_defects_name_laws_that_exist():
    assert len(SUITE.defects) == 83
    assert {law for defect in SUITE.defects for law in defect.laws} <= set(SUITE.by_name)
    assert all(re.fullmatch(r"[A-P]\d+", defect.id) for defect in SUITE.defects)


def test_installed_backends_are_listed_with_what_they_offer(keeprate):
    run = keeprate("backends")
    assert run.code == 0
    assert re.search(rf"^mlx +\S+ +{len(CONTRACTS)} of {len(CONTRACTS)} +float32", run.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "why", "extra"),
    [
        ("equinox", "ModuleNotFoundError: No module named 'equinox' (equinox.py, line 8)", "equinox"),
        ("keras-jax", "ModuleNotFoundError: No module named 'jax' (_jax.py, line 17)", "keras"),
        ("onnxruntime", "ModuleNotFoundError: No module named 'onnx.helper' (onnxruntime.py, line 10)", "onnx"),
        ("equinox", "AttributeError: module 'equinox' has no attribute 'nn'", ""),
        ("theirs", "ModuleNotFoundError: No module named 'theirs' (theirs.py, line 1)", ""),
    ],
)
def test_what_is_missing_comes_with_how_to_get_it(name, why, extra):
    assert remedy(name, f"backend {name} can't be loaded: {why}") == (
        f": pip install 'keeprate[{extra}]'" if extra else ""
    )


WHERE = "    scale = "
RETURNED = "return np.asarray(x * ((random.random(x.shape) >= p) * scale))"
BAD = {  # what is written in place of what, the exit code, and what is said
    "a syntax error": (("name, version", "name; version ="), 3, "mine.py can't be loaded: SyntaxError: "),
    "a missing import": (
        ("import numpy as np\n", "import numpy as np\nimport no_such_framework\n"),
        3,
        "can't be loaded: ModuleNotFoundError: No module named 'no_such_framework' (mine.py, line 3)",
    ),
    "a wrong type": (
        (WHERE, "    return None\n" + WHERE),
        1,
        "asnumpy gave a NoneType for what dropout returned, not floats",
    ),
    "a view of the input, which it leaves alone": (("return x.copy()", "return x[...]"), 0, "CONFORMS"),
    "a view of the input, which it writes to": (
        (RETURNED, "x *= (random.random(x.shape) >= p) * scale\n    return x[...]"),
        1,
        "writes to its input",
    ),
    "an operator that takes something else": (
        ("def dropout(x, p, train)", "def dropout(x, p)"),
        3,
        "dropout can't be called as dropout(x, p, train): too many positional arguments",
    ),
    "prints": ((WHERE, "    print('{}')\n" + WHERE), 0, "CONFORMS"),
    "raises in the middle": (
        (WHERE, "    if random.random() < 0.01:\n        raise KeyError('lost')\n" + WHERE),
        1,
        "dropout raised KeyError: 'lost'",
    ),
    "an asarray that changes values": (
        ('x.astype(dtype, order="K")', "x.astype(dtype) + np.float32(0)"),
        3,
        "its adapter is at fault, not the framework. asarray and asnumpy keep float32: -0 comes back as 0.",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_an_author_may_get_wrong_is_said_in_a_sentence(keeprate, backend_file, fault):
    replacement, code, words = BAD[fault]
    options = ("--profile", "quick", "--ops", "dropout", "--dtypes", "float32", "-n", "1")
    run = keeprate("gate", "--backend", backend_file(replacement), *options)
    assert run.code == code, run.out + run.err
    assert words in " ".join((run.err if code == 3 else run.out).split())
    assert "Traceback" not in run.out + run.err
    assert "{}" not in run.out + run.err


def test_an_operator_that_returns_nothing_is_told_so_by_the_check_and_the_cause(keeprate, backend_file):
    backend = backend_file((WHERE, "    return None\n" + WHERE))
    says = "asnumpy gave a NoneType for what dropout returned"
    checked = keeprate("check", backend)
    assert f"seed repeats a mask {says}, not floats" in " ".join(checked.out.split()), checked.out
    assert "it depends on what ran before" not in checked.out
    run = keeprate("gate", "--backend", backend, "--profile", "smoke", "--ops", "dropout", "--dtypes", "float32")
    told = " ".join(run.out.split())
    assert "gives back what can't be read, in dropout." in told and f"in the study of endpoints; {says}" in told
