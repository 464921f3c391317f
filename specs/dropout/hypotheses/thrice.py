"""A study of single calls, made three times: what is wrong by chance in one may be right in another.

A mask may hide what is wrong with a call. Where none is drawn a call must be the same each time, whatever was called
before; else it is the function's state that is wrong, and no feature of the call tells when.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence

from keeprate.specs.dropout import arguments, single_calls
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.wrong_values import OF_ARGUMENTS, USUAL, evaluates, number_of
from keeprate.specs.dropout.inputs import filled, ordinary
from keeprate.specs.dropout.observations import Observation
from keeprate.suite import BackendError, Unreadable

BEFORE = (None, True, False)  # whether a call in training, or in evaluation, is made before the study
MOST = 2 / 3  # of the times that a call is wrong at least once, how often it must be
Judge = Callable[[Sequence[Observation]], list[str]]


def observed(clues: Clues, study: str, judge: Judge) -> tuple[tuple[Observation, ...], list[str]]:
    """The calls of a study, each as it was in the first run in which it was wrong, and what is wrong with each.

    Raises:
        Unreadable: it can't be called, or calls are wrong in some runs that must be alike.
    """
    observations = _run(clues, study, 0)
    how = judge(observations)
    if not any(how):
        return observations, how
    first = _by_call(observations, how)
    runs = [first]
    for number in (1, 2):
        again = _run(clues, study, number)
        runs.append(_by_call(again, judge(again)))
    merged = {}
    times = looked = 0
    for key in dict.fromkeys(key for run in runs for key in run):
        found = [run[key] for run in runs if key in run]
        wrong = [one for one in found if one[1]]
        merged[key] = wrong[0] if wrong else found[0]
        if wrong:
            times, looked = times + len(wrong), looked + len(found)
            if not _masked(found[0][0], study) and {text for _, text in found} != {wrong[0][1]}:
                raise Unreadable("a call without a mask is wrong at times")
    if times < MOST * looked:
        raise Unreadable("calls are wrong at times")
    return tuple(one for one, _ in merged.values()), [text for _, text in merged.values()]


def _run(clues: Clues, study: str, number: int) -> tuple[Observation, ...]:
    """The observations of one run, after a call in a mode."""
    case, train = clues.case.replace(study=study, shape=()), BEFORE[number]
    if train is not None:
        with contextlib.suppress(BackendError):
            caller = clues.caller()
            caller.call(caller.native(filled(clues.contract, case.dtype, ordinary(clues.contract))), USUAL, train)
    try:
        if study in OF_ARGUMENTS:
            (sample,) = getattr(arguments, study)(case, clues.backend, 1 + number)
            return tuple(sample.observations)
        return tuple(single_calls.STUDIES[study](clues.caller()))
    except BackendError as error:
        raise Unreadable(str(error)) from error


def _by_call(observations: Sequence[Observation], how: Sequence[str]) -> dict[tuple[str, int], tuple[Observation, str]]:
    """Each observation and what is wrong with it, by the words for its call; the same words may come again."""
    seen: Counter[str] = Counter()
    found = {}
    for one, text in zip(observations, how, strict=True):
        words = f"{one.what} of {one.x.shape}"
        found[words, seen[words]] = one, text
        seen[words] += 1
    return found


def _masked(one: Observation, study: str) -> bool:
    """Whether PyTorch draws a mask in this call."""
    return study != "arguments" and not evaluates(one) and 0 < number_of(one.what.given.get("p", USUAL)) < 1
