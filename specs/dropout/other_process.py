"""A process in which another one has calls made: see `keeprate.specs.other_processes`."""

from __future__ import annotations

from typing import Any

from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import filled
from keeprate.specs.foreign import Seen
from keeprate.specs.other_processes import serve
from keeprate.suite import Case


def calls(backend: Any, case: Case, seed: int | None, number: int) -> list[Seen]:
    """Outputs of so many calls on the probe values, after seeding unless that is None."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype)
    x = filled(caller.contract, case.dtype, case.shape)
    if seed is not None:
        caller.seed(seed)
    natives = (caller.native(x) for _ in range(number))  # one each, for the operator may write to it
    return [caller.seen(caller.call(native, case.parameters["p"])) for native in natives]


if __name__ == "__main__":
    serve("dropout", calls)
