"""The dropout suite: its plan, its samples and its laws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.suite import Cause, Defect
from keeprate.specs.dropout.adapter import check
from keeprate.specs.dropout.aims import WEIGHTS, detects
from keeprate.specs.dropout.laws import channels, gradient, modes, moments, outcomes, streams
from keeprate.specs.dropout.plan import plan
from keeprate.specs.masks import independence, rate

HERE = Path(__file__).parent

name = "dropout"
reference = "torch"
headline = "keep_rate"
weights = WEIGHTS
template = HERE / "template.py"
# Read from public threads, as stored excerpts: open a thread before quoting it elsewhere.
defects = tuple(
    Defect(row["id"], row["source"], row["wrong"], row["where"], tuple(row["laws"]))
    for row in json.loads((HERE / "defects.json").read_text(encoding="utf-8"))
)
# Made by `make mutants`: what each mutant breaks.
causes = tuple(
    Cause(row["name"], row["kind"], row["says"], row["defect"], frozenset(row["traits"]))
    for row in json.loads((HERE / "causes.json").read_text(encoding="utf-8"))
)
READABLE = ("outcomes", "constancy", "purity")  # where one of these is broken, there are no masks to look at
laws = (
    outcomes.outcomes,
    channels.constancy,
    *(
        replace(law, rests_on=READABLE)
        for law in (
            rate.keep_rate,
            rate.positions,
            rate.spread,
            rate.segments,
            independence.neighbours,
            independence.blocks,
            independence.runs,
            independence.calls,
            independence.calls_by_position,
            independence.reading_order,
            independence.no_mask_twice,
            independence.all_lags,
            streams.streams,
            streams.data,
        )
    ),
    moments.moments,
    gradient.gradient,
    modes.evaluation,
    modes.endpoints,
    modes.arguments,
    modes.inplace,
    modes.purity,
    modes.modes,
    modes.concurrency,
    outcomes.dtype,
    outcomes.shape,
    outcomes.strides,
    streams.seeding,
)


def sample(case: Case, backend: Any, seed: int) -> Iterator[Any]:
    """The samples of a case: masks, forward and backward passes, or single calls."""
    from keeprate.specs.dropout import (  # here, for they import PyTorch, which a plan does not need
        gradients,
        single_calls,
    )
    from keeprate.specs.dropout import sample as samples
    from keeprate.specs.dropout import streams as seeds

    studies = {
        "masks": samples.masks,
        "unmapped": samples.masks,
        "lazy": samples.lazily,
        "streams": seeds.streams,
        "mixed": seeds.mixed,
        "after_seeds": seeds.after_seeds,
        "processes": seeds.processes,
        "between_processes": seeds.between_processes,
        "gradients": gradients.gradients,
        "many": single_calls.many,
    }
    return studies.get(case.study, single_calls.calls)(case, backend, seed)


def picture(case: Case, backend: Any, seed: int) -> list[str]:
    """The first masks of a case as lines of text; none for studies of single calls.

    Raises:
        Unreadable: an exact law is broken, so that no mask could be read.
    """
    from keeprate.specs.dropout.observations import Calls  # here, as in `sample`
    from keeprate.specs.dropout.streams import Streams
    from keeprate.specs.masks.picture import lines

    first = next(sample(case, backend, seed))
    if isinstance(first, Calls):
        return []
    return lines((first.masks if isinstance(first, Streams) else first).mask)


def demonstrate(case: Case, law: str, seed: int) -> str:
    """Source of a function `show(backend)` that prints how `law` fares in `case`.

    Raises:
        UsageError: a script can't show this law in this place.
    """
    from keeprate.specs.dropout import demonstration  # here, as in `sample`

    return demonstration.demonstrate(case, law, seed)


__all__ = [
    "causes",
    "check",
    "defects",
    "demonstrate",
    "detects",
    "headline",
    "laws",
    "name",
    "picture",
    "plan",
    "reference",
    "sample",
    "template",
    "weights",
]
