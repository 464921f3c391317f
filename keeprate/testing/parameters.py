"""Names of parameters, as libraries have them: which are understood, and which mean the opposite."""

from __future__ import annotations

from collections.abc import Collection
from inspect import Parameter

from keeprate.harness.errors import UsageError

# Any other name may mean the opposite.
RATES = (
    *("p", "rate", "dropout", "dropout_p", "dropout_rate", "dropout_prob", "drop_p", "drop_rate", "drop_prob"),
    *("p_drop", "p_dropout", "prob", "probability", "ratio"),
)
MODES = ("train", "training", "is_training", "is_train", "train_mode")
TURNED = ("deterministic", "inference", "evaluation", "eval_mode", "is_test")  # modes that are on in evaluation
KEEPING = ("keep", "retain", "surviv")  # parts of names


def refuse_opposites(name: str, parameters: Collection[Parameter], wrap: str) -> None:
    """Refuses a function whose p is the probability of keeping, or whose mode is on in evaluation.

    Args:
        name: the function's.
        parameters: those behind its arrays.
        wrap: the way out, in words.

    Raises:
        UsageError: says which parameter it is.
    """
    names = {one.name for one in parameters}
    if not names & {*RATES}:
        for one in parameters:
            if any(part in one.name for part in KEEPING):
                raise UsageError(f"{name}: p is the probability of dropping, not of keeping, '{one.name}'; {wrap}")
    if not names & {*MODES}:
        for one in parameters:
            # One that is off by default may be left alone: it says nothing of training.
            if one.name in TURNED and one.default in (Parameter.empty, True):
                raise UsageError(f"{name} has a mode that is on in evaluation, '{one.name}'; {wrap}")
