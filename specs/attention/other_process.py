"""A process in which another one has calls made: see `keeprate.specs.other_processes`."""

from __future__ import annotations

from itertools import islice
from typing import Any

from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.places import place_of
from keeprate.specs.foreign import Seen
from keeprate.specs.other_processes import serve
from keeprate.suite import Case


def calls(backend: Any, case: Case, seed: int | None, number: int) -> list[Seen]:
    """Outputs of so many calls that show their masks, after seeding unless that is None."""
    place = place_of(case)
    caller = Caller(backend, place)
    given = caller.given(*place.inputs(caller.channels))
    if seed is not None:
        caller.seed(seed)
    outputs = islice(caller.outputs(given, case.parameters["p"]), number)
    return [Seen(out, place.dtype) for out in outputs]


if __name__ == "__main__":
    serve("attention", calls)
