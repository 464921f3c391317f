"""Makes Python source that shows a fault without keeprate, to stand beside a backend.

Where it needs PyTorch's answer, the numbers are written into it, so that it runs where PyTorch is not installed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from math import prod
from textwrap import indent
from typing import Any

import numpy as np

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.contexts import Context
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.reproduction import masks, seeds, single_calls
from keeprate.suite import Case, UsageError

MODULES = masks, seeds, single_calls
FUNCTIONS = {
    name: function
    for module in MODULES
    for name, function in vars(module).items()
    if inspect.isfunction(function) and name == function.__name__
}
# Those that show a law.
SHOWN = {name: one for name, one in FUNCTIONS.items() if one.__annotations__ == {"backend": Any, "return": None}}
OTHERS = {  # studies that show a law by a function of another name
    ("bounds", "seeding"): "some_seeds",
    ("after_seeds", "no_mask_twice"): "masks_after_seeds",
    ("masks", "streams:thread"): "threads",
    **{("probabilities", law): "probabilities" for law in ("outcomes", "dtype", "arguments")},
}
AFTER_SEEDS = "first_positions", "masks_after_seeds"
UNLIKE = {  # studies of calls that a script doesn't make
    "mixed": "calls of two kinds alternate (another shape, dtype or operator, or a pass forward and back)",
    "sizes": "calls of two sizes alternate",
    "after_seeds": "one call follows each of many seeds",
}
IMPORTS = (  # of these modules, which a script has as far as it needs them
    "import threading",
    "from concurrent.futures import ThreadPoolExecutor",
    "from typing import Any",
    "import numpy as np",
)
ENTRIES = 1 << 21  # of all masks together, at most: what a script holds in memory
CALLS = 4000
VALUES = (1.0, -1.0, 0.5, 16.0)
ORDINARY = {0: (), 1: (4096,), 2: (64, 64), 3: (32, 32, 4), 4: (32, 32, 2, 2), 5: (32, 32, 2, 2, 1)}
ORDERS = {"ahead": (1, 0), "behind": (0, 1)}  # of related seeds: which call after each


def demonstrate(case: Case, law: str, seed: int) -> str:
    """Source of a function `show(backend)` that prints how `law` fares in `case`.

    Raises:
        UsageError: a script can't show this law in this place.
    """
    name = OTHERS.get((case.study, law)) or law.partition(":")[0]
    if name not in SHOWN or case.context == "process":
        raise UsageError(f"no script can show {law} in the context {case.context}: it takes several processes")
    if case.context == "fused":
        raise UsageError(
            f"no script can show {law} in the context fused: there the operator is compiled together with others, and "
            f"a script calls it alone. With --shrink, replay looks for a plainer context"
        )
    if case.study in UNLIKE and name not in AFTER_SEEDS:
        raise UsageError(
            f"no script can show {law} here: {UNLIKE[case.study]}, and a script repeats one call. With --shrink, "
            f"replay looks for a case of equal calls; without --snippet, it shows what was seen"
        )
    # Inside the function: the adapter above it may have imported something else as `np`.
    copied = indent(_copied(name, constants(case, law, seed)), "    ")
    return f"def show(backend):\n{copied}\n\n    backend.seed({seed})\n    {name}(backend)\n"


def _copied(name: str, values: Mapping[str, Any]) -> str:
    """The function called `name` behind all that it needs, and which functions are meant by FUNCTION and CALL."""
    needed: dict[str, str] = {}
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in needed and (one in values or one in FUNCTIONS):
            needed[one] = _assigned(one, values[one]) if one in values else _source(FUNCTIONS[one])
            todo += [node.id for node in ast.walk(ast.parse(needed[one])) if isinstance(node, ast.Name)]
    functions = [needed[one] for one in FUNCTIONS if one in needed]
    imports = [line for line in IMPORTS if re.search(rf"\b{line.split()[-1]}\b", "".join(functions))]
    constants = [needed[one] for one, value in values.items() if one in needed and not callable(value)]
    meant = [needed[one] for one, value in values.items() if one in needed and callable(value)]
    return "\n\n".join(["\n".join(imports), "\n".join(constants), *functions, "\n".join(meant)]).rstrip()


def _source(function: Callable[..., Any]) -> str:
    return re.sub("  # noqa.*", "", inspect.getsource(function)).rstrip()


def _assigned(name: str, value: Any) -> str:
    """An assignment, with the comment that the module has behind its own."""
    text = "".join(map(inspect.getsource, MODULES))
    said = re.search(rf"^{name}\b.*?(  #.*)?$", text, re.MULTILINE)
    return f"{name} = {getattr(value, '__name__', repr(value))}{said[1] or '' if said else ''}"


def constants(case: Case, law: str, seed: int) -> dict[str, Any]:
    """What the functions are to be called with: their constants in this case, by name."""
    family, _, parameter = law.partition(":")
    contract, context = CONTRACTS[case.op], Context(case.context)
    p, shape = case.parameters.get("p", 0.3), case.shape or ORDINARY[max(contract.ranks)]
    entries = prod(contract.mask_shape(shape))
    calls = max(2, min(CALLS, min(case.draws or 1, ENTRIES) // entries)) // 2 * 2
    inplace = context.inplace or family == "inplace"
    flagged = inplace and contract.inplace == "inplace"
    kept, dropped, slope_kept, slope_dropped = _of_one(contract, case.dtype, p)
    outcomes = reference.table(contract, case.dtype, p, VALUES)
    return {
        "OPERATOR": contract.inplace if inplace and not flagged else case.op,
        "KEYWORDS": {"inplace": True} if flagged else {},
        "TRANSFORMS": context.transforms,
        "P": p,
        "DTYPE": case.dtype,
        "WIDE": "float64" if case.dtype == "float64" else "float32",
        "SHAPE": shape,
        "AXIS": contract.moved_axis(len(shape)),
        "ENTRIES": entries,
        "SEED": seed,
        "CALLS": max(calls, 400) if family in ("calls_by_position", "positions", "no_mask_twice") else calls,
        "KEPT": kept,
        "DROPPED": dropped,
        "SLOPE_KEPT": slope_kept,
        "SLOPE_DROPPED": slope_dropped,
        "TABLE": list(zip(VALUES, outcomes.kept.tolist(), outcomes.dropped.tolist(), strict=True)),
        **dict.fromkeys(("LAG", "WIDTH", "SHIFT"), _distance(parameter, contract, shape)),
        "STEP": 2**31 if parameter == "high" else 1,
        "ORDER": ORDERS.get(parameter.partition(".")[0], (0, 0)),
        "RANKS": _by_rank(contract, case.dtype),
        "SHAPES": [shape, (1,) * len(shape), (0, *shape[1:])],
        "RATES": list(_of_rates(contract, case.dtype)),
        "FUNCTION": masks.layer if context.layered else masks.plain,
        "CALL": _way(context),
        "SWITCH": single_calls.by_mode if context.layered else single_calls.by_argument,
    }


def _of_one(contract: Contract, dtype: str, p: float) -> tuple[float, float, float, float]:
    """PyTorch's outcomes of an input of 1, kept and dropped, and its gradients."""
    x = np.ones(ORDINARY[max(contract.ranks)])
    pairs = [reference.replay(contract, dtype, p, x, mask, np.ones_like(x)) for mask in (1.0, 0.0)]
    (kept, slope_kept), (dropped, slope_dropped) = pairs
    assert slope_kept is not None and slope_dropped is not None
    return kept.flat[0].item(), dropped.flat[0].item(), slope_kept.flat[0].item(), slope_dropped.flat[0].item()


def _of_rates(contract: Contract, dtype: str) -> Iterator[tuple[str, float, float, float]]:
    """PyTorch's outcomes of an input of 1 for a p of each type; near 1 only where the scale is no infinity."""
    for p in (0.3, 1 - 1e-5):
        for name in ("float", "float64", "float32", "float16"):
            given = p if name == "float" else float(getattr(np, name)(p))
            outcomes = reference.table(contract, dtype, given, (1.0,))
            if np.isfinite(outcomes.kept).all():
                yield name, given, outcomes.kept.item(), outcomes.dropped.item()


def _by_rank(contract: Contract, dtype: str) -> list[tuple[int, bool, str]]:
    """What PyTorch does with an input of each rank that it doesn't always take, in training and in evaluation."""
    return [
        (rank, train, "refused" if reference.refuses(contract, dtype, 0.3, (2,) * rank, train) else "taken")
        for rank in contract.refused
        for train in (True, False)
    ]


def _way(context: Context) -> Callable[..., Any]:
    """How outputs are had: in a pass forward and back, from a mapped call, in a thread, or plainly."""
    if context.name == "grad" or context.recomputed:
        return masks.forward
    if context.mapped:
        return masks.row
    return masks.in_a_thread if context.name == "thread" else masks.output


def _distance(parameter: str, contract: Contract, shape: tuple[int, ...]) -> int:
    """The parameter of a law as a number of entries; 1 where it is none."""
    mask = contract.mask_shape(shape)
    named = {"half": prod(mask) // 2, "row": mask[-1] if mask else 1, "call": prod(mask)}
    name = parameter.removeprefix("-")
    sign = -1 if name != parameter else 1
    return sign * (int(name) if name.isdecimal() else named.get(name, 1))
