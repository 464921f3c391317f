"""Hypothesis that not all of a sample, row or call is ever dropped, or kept: it shows where these have few entries."""

from __future__ import annotations

from collections.abc import Iterator

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.inputs import EVEN
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import NEVER, Account, Hypothesis

MANY = 256  # samples, rows or calls that are looked at, at each of two p
SOME = 16  # calls that are made first: where all may be, of one in four or eight it is so
RARE = 0.1  # of the entries that are kept, or dropped, at one of these: all of three are not in 73 % of samples
FEW = (2, 3)  # entries of each
Shape = tuple[int, ...]


def never_all(clues: Clues, value: str) -> Account:
    """Whether not all of a few entries are ever dropped, or kept, though each of them is at times."""
    kept = value == "kept"
    for what, calls, shapes in _units(clues.contract):
        if all(_never(clues, calls, shape, number, kept=kept) for number, shape in zip(FEW, shapes, strict=True)):
            looked = MANY * len(FEW)
            p = RARE if kept else 1 - RARE
            seen = f"of {MANY} of {FEW[0]} entries and {MANY} of {FEW[1]} none is wholly {value} at p = {p:g}"
            return exact(True, True, looked, seen, what=what)
    return Account(MANY, NEVER, 0.0)


def _units(contract: Contract) -> Iterator[tuple[str, int, list[Shape]]]:
    """What may have a say in it, how many calls that takes, and a shape of each number of entries."""
    inner = (1,) * (max(contract.ranks) - 2 if contract.by_channel else 0)
    if contract.granularity == "row":
        yield "rows of a call", MANY, [(number, 1, *inner) for number in FEW]
    elif contract.by_channel:
        yield "channels of a sample", 1, [(MANY, number, *inner) for number in FEW]
        yield "channels of a call", MANY, [(1, number, *inner) for number in FEW]
    else:
        yield "entries of a row", 1, [(MANY, number) for number in FEW]
        yield "entries of a call", MANY, [(1, number) for number in FEW]


def _never(clues: Clues, calls: int, shape: Shape, number: int, *, kept: bool) -> bool:
    """Whether it is so of this many entries, each of which is both at times, and as many as can be are at times."""
    for draws in (SOME, calls) if calls > 1 else (calls,):
        even = _masks(clues, draws, shape, EVEN).reshape(-1, number)
        if (even == kept).all(axis=1).any():
            return False
    most = _masks(clues, calls, shape, RARE if kept else 1 - RARE).reshape(-1, number)
    found = {int(one) for one in (even == kept).sum(axis=1)}
    free = not (even.all(axis=0) | ~even.any(axis=0)).any()
    return free and found == {*range(number)} and not (most == kept).all(axis=1).any()


def _masks(clues: Clues, calls: int, shape: Shape, p: float) -> Mask:
    """(calls, …) masks on a shape."""
    return clues.of_channels(readable(clues.drawn)(clues.caller(), calls, shape, p))


HYPOTHESES = tuple(
    Hypothesis(
        f"never_all_{value}",
        "number",
        f"never {does} all {{what}}",
        lambda c, value=value: never_all(c, value),
        OF_MASKS,
    )
    for value, does in (("dropped", "drops"), ("kept", "keeps"))
)
