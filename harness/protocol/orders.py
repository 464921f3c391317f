"""Calls that follow from a seed alone, in two orders: what they give doesn't depend on what ran before."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence

from keeprate.harness.protocol.description import AdapterCheck

SECONDS = 2.0  # after which no further call is begun
WHAT = "a seed gives the same, whatever ran before it"


def in_order(calls: Mapping[str, Callable[[], str]], names: Sequence[str] | None = None) -> dict[str, str]:
    """What each call gives, made twice in a row; those that don't give the same twice are left out.

    Args:
        names: which, in this order; None for as many of all as there is time for, in their own.
    """
    end, found = time.monotonic() + SECONDS, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a gate
        for name in calls if names is None else names:
            if names is None and time.monotonic() > end:
                break
            first = calls[name]()
            if calls[name]() == first:
                found[name] = first
    return found


def compared(forwards: Mapping[str, str], backwards: Mapping[str, str]) -> AdapterCheck:
    """What calls gave in one process, and in the other order in another."""
    names = list(forwards)
    if len(names) < 2:
        return AdapterCheck(WHAT, "", skipped="there are no two calls that repeat after a seed")
    others = [name for name in names if forwards[name] != backwards.get(name, forwards[name])]
    if not others:
        return AdapterCheck(WHAT, "")
    at = names.index(others[0])
    before, after = ("".join(some) or "nothing" for some in (names[at - 1 : at], names[at + 1 : at + 2]))
    gave = f"{others[0]} {forwards[others[0]]} after {before}, and {backwards[others[0]]} after {after}"
    more = f". So do {len(others) - 1:,} more of {len(names):,} calls" if others[1:] else ""
    return AdapterCheck(WHAT, f"after the same seed {gave}: it depends on what ran before{more}")
