"""Samples of calls in other processes: whether their masks are related, and what seeds decide there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keeprate.specs.attention.sample import Reader, Seen
from keeprate.specs.other_processes import by_turns, two, two_unseeded
from keeprate.suite import Case, Check, Counterexample

UNLIKE = "in another process the same seed gives another mask"
ANOTHER = "in another process another seed gives the same mask"
ALIKE = "two processes that nobody seeded begin with the same mask"


def processes(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Calls after neighbouring seeds in two other processes: the masks of one and of the other by turns.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    reader = Reader(case, backend)
    for outputs in by_turns("attention", backend, case, reader.entries, seed):
        yield reader.seen([out.values for out in outputs])


def between_processes(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """A seed in this process and in two others, another seed there, and first masks that nobody had seeded.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    reader, first = Reader(case, backend), seed >> 1
    unseeded = [process.unseeded(case) for process in two_unseeded("attention", backend)]
    one, other = two("attention", backend)
    elsewhere = [*one.calls(case, first, 1), *other.calls(case, first, 1), *other.calls(case, first + 1, 1), *unseeded]
    outputs = [*reader.after(first, 1), *(out.values for out in elsewhere)]
    seen = [reader.seen([out]) for out in outputs]
    checks = {"outcomes": sum((each.checks["outcomes"] for each in seen), Check(0, 0))}
    masks = [each.bits.words for each in seen if each.bits is not None]
    if len(masks) == len(seen):
        told = (
            (np.array_equal(masks[0], masks[1]), UNLIKE),
            (np.array_equal(masks[0], masks[2]), UNLIKE),
            (not np.array_equal(masks[0], masks[3]), ANOTHER),
            (not np.array_equal(masks[4], masks[5]), ALIKE),
        )
        wrong = [words for right, words in told if not right]
        counterexample = Counterexample({"first": wrong[0]}) if wrong else None
        checks["seeding"] = Check(len(told), len(told) - len(wrong), len(wrong), counterexample)
    yield Seen(p=reader.p, bits=None, checks=checks)
