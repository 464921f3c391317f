"""What is found on the usual shape is looked for on inputs of other ranks: elsewhere nothing may be wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.hypotheses.clues import Clues, standard
from keeprate.suite import ENOUGH, Account, Unreadable

MORE = 3  # into which the last axis is divided


def of_rank(function: Callable[..., Account]) -> Callable[..., Account]:
    """The same hypothesis, with a `rank` in what is given where it is true of inputs of the usual rank alone."""

    @functools.wraps(function)
    def tested(clues: Clues, *parameters: str) -> Account:
        account = function(clues, *parameters)
        usual = standard(clues.contract)
        if not account.accepted or len(clues.shape) != len(usual) or clues.contract.granularity == "row":
            return account
        others = [found for shape in _shapes(clues.contract) if (found := _on(clues, shape, function, parameters))]
        if not others or any(one.promise >= ENOUGH for one in others):
            return account
        return replace(account, given={**account.given, "rank": len(usual)})

    return tested


def _on(
    clues: Clues, shape: tuple[int, ...], function: Callable[..., Account], parameters: tuple[str, ...]
) -> Account | None:
    """How it fares on another shape; None where nothing can be read there."""
    try:
        found = function(clues.on(shape), *parameters)
    except Unreadable:
        return None
    return found if found.looked_at else None


def _shapes(contract: Contract) -> Iterator[tuple[int, ...]]:
    """The usual shape with an axis less, and with one more, where PyTorch takes such."""
    usual = standard(contract)
    for shape in (usual[:-1], (*usual[:-1], usual[-1] // MORE, MORE)):
        if len(shape) in contract.ranks and len(shape) > 1:
            yield shape
