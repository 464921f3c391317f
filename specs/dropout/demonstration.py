"""Makes Python source that shows a fault without keeprate, to stand beside a backend.

What a script prints in brackets is what should be there. Where it needs PyTorch's answer, the numbers are written into
it, so that it runs where PyTorch is not installed.
"""

from __future__ import annotations

import re
from math import prod
from textwrap import indent

import numpy as np

from keeprate.harness.errors import UsageError
from keeprate.harness.protocol.case import Case
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.contexts import Context
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.scripts import CALL, CALLED, FRESH, HEAD, MOVED_IN, MOVED_OUT, SHOWN

ENTRIES = 1 << 21  # of all masks together, at most: what a script holds in memory
CALLS = 4000
VALUES = (1.0, -1.0, 0.5, 16.0)
ORDINARY = {0: (), 1: (4096,), 2: (64, 64), 3: (32, 32, 4), 4: (32, 32, 2, 2), 5: (32, 32, 2, 2, 1)}


def demonstrate(case: Case, law: str, seed: int) -> str:
    """Source of a function `show(backend)` that prints how `law` fares in `case`.

    Raises:
        UsageError: a script can't show this law in this place.
    """
    family, _, parameter = law.partition(":")
    if family not in SHOWN or case.context == "process":
        raise UsageError(f"no script can show {law} in the context {case.context}: it takes several processes")
    if case.study in ("mixed", "after_seeds"):
        raise UsageError(f"no script can show {law} where calls differ in more than their masks")
    contract = CONTRACTS[case.op]
    inplace = f"backend.{contract.inplace}(x, p, train)"
    if contract.inplace == "inplace":
        inplace = f"backend.{case.op}(x, p, train, inplace=True)"
    p = case.parameters.get("p", 0.3)
    shape = case.shape or ORDINARY[max(contract.ranks)]
    entries = prod(contract.mask_shape(shape))
    calls = max(2, min(CALLS, min(case.draws or 1, ENTRIES) // entries)) // 2 * 2
    if family in ("calls_by_position", "positions", "no_mask_twice"):
        calls = max(calls, 400)
    axis = contract.channel_axis(len(shape))
    kept, dropped, slope_kept, slope_dropped = _of_one(contract, case.dtype, p)
    values = {
        "operator": inplace if Context(case.context).inplace else f"backend.{case.op}(x, p, train)",
        "p": p,
        "dtype": case.dtype,
        "wide": "float64" if case.dtype == "float64" else "float32",
        "shape": shape,
        "seed": seed,
        "calls": calls,
        "entries": entries,
        "kept": kept,
        "dropped": dropped,
        "move_in": "" if axis is None else MOVED_IN.replace("{axis}", str(axis)),
        "move_out": "" if axis is None else MOVED_OUT.replace("{axis}", str(axis)),
        "function": _function(case),
        "call": CALLED.get(_way(case.context), CALL),
    }
    told = {
        "parameter": _parameter(family, parameter, contract, shape),
        "step": "2**31" if parameter == "high" else "1",
        "table": repr(_table(contract, case.dtype, p)),
        "slope_kept": repr(slope_kept),
        "slope_dropped": repr(slope_dropped),
        "slope_kept!r": repr(slope_kept),
        "slope_dropped!r": repr(slope_dropped),
        "by_rank": repr(_by_rank(contract, case.dtype)),
        "wide": str(values["wide"]),
        "shapes": repr([shape, (1,) * len(shape), (0, *shape[1:])]),
        "inplace": inplace,
        "switch": _switch(case),
    }
    body = SHOWN["threads" if law == "streams:thread" else family]
    for name, text in told.items():
        body = body.replace("{" + name + "}", text).replace("{" + name + ":.9g}", text)
    # Inside the function: the adapter above it may have imported something else as `np`.
    imports = "".join(
        f"{line}\n"
        for line, name in (
            ("import threading", "threading."),
            ("from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor("),
            ("import numpy as np", "np."),
        )
        if name in HEAD + body + str(values["call"])
    )
    shown = re.sub(r"\n{3,}", "\n\n", f"{imports}\n{HEAD.format(**values).strip()}\n{body}").strip()
    return f"def show(backend):\n{indent(shown, '    ')}\n"


def _of_one(contract: Contract, dtype: str, p: float) -> tuple[float, float, float, float]:
    """PyTorch's outcomes of an input of 1, kept and dropped, and its gradients."""
    x = np.ones(ORDINARY[max(contract.ranks)])
    pairs = [reference.replay(contract, dtype, p, x, mask, np.ones_like(x)) for mask in (1.0, 0.0)]
    (kept, slope_kept), (dropped, slope_dropped) = pairs
    assert slope_kept is not None and slope_dropped is not None
    return kept.flat[0].item(), dropped.flat[0].item(), slope_kept.flat[0].item(), slope_dropped.flat[0].item()


def _table(contract: Contract, dtype: str, p: float) -> list[tuple[float, float, float]]:
    outcomes = reference.table(contract, dtype, p, VALUES)
    return [
        (value, float(kept), float(dropped))
        for value, kept, dropped in zip(VALUES, outcomes.kept, outcomes.dropped, strict=True)
    ]


def _by_rank(contract: Contract, dtype: str) -> list[tuple[int, bool, str]]:
    """What PyTorch does with an input of each rank that it doesn't always take, in training and in evaluation."""
    return [
        (rank, train, "refused" if reference.refuses(contract, dtype, 0.3, (2,) * rank, train) else "taken")
        for rank in contract.refused
        for train in (True, False)
    ]


def _way(context: str) -> str:
    """How outputs are had: from a mapped call, from a pass forward and back, in a thread, or plainly."""
    if context == "grad" or Context(context).recomputed:
        return "vjp"
    return "vmap" if Context(context).mapped else context


def _function(case: Case) -> str:
    context = Context(case.context)
    first = "function = operator"
    if context.layered:
        first = f'function = backend.module("{case.op}", p)\nfunction.train()'
    return "\n".join([first, *(f"function = backend.{name}(function)" for name in context.transforms)]) + "\n"


def _switch(case: Case) -> str:
    context = Context(case.context)
    if not context.layered:
        function = "operator"
        for name in context.transforms:
            function = f"backend.{name}({function})"
        return function
    called = "layer"
    for name in context.transforms:
        called = f"backend.{name}({called})"
    return (
        f'None\nlayer = backend.module("{case.op}", p)\ncalled = {called}\n\n\n'
        "def switch(x, train):\n    layer.train() if train else layer.eval()\n    return called(x)\n\n"
    )


def _parameter(family: str, parameter: str, contract: Contract, shape: tuple[int, ...]) -> str:
    mask = contract.mask_shape(shape)
    lengths = {"half": prod(mask) // 2, "row": mask[-1] if mask else 1}
    if family == "streams":
        return FRESH.get(parameter.partition(".")[0], FRESH["next"])
    if family == "spread":
        return "entries" if parameter == "call" else parameter
    if parameter.removeprefix("-") in lengths:
        sign = -1 if parameter.startswith("-") else 1
        return str(sign * lengths[parameter.removeprefix("-")])
    return parameter
