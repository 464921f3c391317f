"""The first wrong result of a law that allows none."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # what was given may be the largest seed
Index = Annotated[int, Meta(ge=0, le=10**18)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Value = Whole | Finite | str | tuple[Index, ...]  # NaN and infinities as text, which JSON lacks; a shape as a tuple


class Counterexample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A wrong result, in words and as data; what a suite doesn't know or doesn't say is left out.

    Args:
        words: labels and texts ("first", "input 0.5 at (0, 0) gave 1.0989"), in the order to print.
        call: what was done, with the names of what was given in braces ("a throw at angle {angle}").
        given: what these names stand for.
        gave: what kind of thing came back, in a suite's own words: "value", "another shape", …
        input: the value that was given.
        at: its index.
        output: what came back, of the kind that `gave` says: a value, a shape, the class of an exception, …
        allowed: what could have come back instead: any of these.
    """

    words: dict[str, str]
    call: str = ""
    given: dict[str, Value] = {}
    gave: str = ""
    input: Value | None = None
    at: tuple[Index, ...] = ()
    output: Value | None = None
    allowed: tuple[Value, ...] = ()

    def data(self) -> dict[str, Any] | None:
        """All but the words, as JSON values; None if they are all there is."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if name != "words"} or None
