"""Where to look, and what a result is called: cases and the ids of findings, both ways."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from keeprate.harness.errors import UsageError

ANY = "-"  # a part of an id that the law doesn't depend on, or pools


def shape_text(shape: tuple[int, ...], strides: str = "") -> str:
    """A shape as ids write it: (64, 8) is 64x8, () is `scalar`, uncommon strides follow a colon.

    Args:
        shape: lengths of axes.
        strides: the suite's word for how they lie in memory; empty for row-major order.
    """
    text = "x".join(map(str, shape)) or "scalar"
    return f"{text}:{strides}" if strides else text


def parameters_text(parameters: Mapping[str, float]) -> str:
    """Parameters as ids write them: {"p": 0.3} is p0.3, several are separated by commas, none is `-`."""
    return ",".join(f"{name}{value!r}" for name, value in parameters.items()) or ANY


class FindingId(NamedTuple):
    """The public name of a finding, part by part; `str()` joins them and `parse` takes them apart.

    Args:
        op, dtype, parameters, shape, context: as in a `Case`; `-` for what the law doesn't depend on, or pools.
        law: the law's name, with its parameter behind a colon if it takes one.
    """

    op: str
    law: str
    dtype: str
    parameters: str
    shape: str
    context: str

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def parse(cls, text: str) -> FindingId:
        """The parts of an id.

        Args:
            text: the six of them, joined by slashes.

        Raises:
            UsageError: `text` doesn't have six parts, or one is empty.
        """
        parts = text.split("/")
        empty = [name for name, part in zip(cls._fields, parts, strict=False) if not part]
        if len(parts) != len(cls._fields) or empty:
            wrong = f"has {len(parts)} parts, not" if len(parts) != len(cls._fields) else f"has no {empty[0]} among"
            raise UsageError(f"'{text}' is not the id of a finding: it {wrong} the six of {'/'.join(cls._fields)}")
        return cls(*parts)

    @property
    def family(self) -> str:
        """The law without its parameter: `law` for `law:64`."""
        return self.law.partition(":")[0]

    @property
    def parameter(self) -> str:
        """The law's parameter: `64` for `law:64`, empty if it takes none."""
        return self.law.partition(":")[2]


def over_all(law: str) -> FindingId:
    """The name of what all findings of a law show together, whatever the operator."""
    return FindingId(ANY, law, ANY, ANY, ANY, ANY)


class Case(msgspec.Struct, frozen=True, dict=True):  # a dict, for what is computed once
    """One place to look: what is called, how often, and which findings it is evidence for.

    Args:
        op: the operator's name, as the backend spells it.
        dtype: a name among the backend's dtypes.
        parameters: numbers that the operator is called with, by name; empty if the study goes through several.
        shape: of the input, axes in the suite's order; () for a scalar or where the study goes through several shapes.
        context: how the operator is called, as the suite names it.
        study: which of the suite's samplings this is.
        draws: random draws that the plan asks for; 0 for a deterministic study.
        reference_draws: the same when the reference is judged; None where it is not.
        findings: ids of the findings that this case gives evidence to.
        strides: how the input lies in memory; empty for row-major order.
        needs: names that the backend must have besides the operator, or the case is not offered.
    """

    op: str
    dtype: str
    parameters: dict[str, int | float]
    shape: tuple[int, ...]
    context: str
    study: str
    draws: int
    reference_draws: int | None
    findings: tuple[str, ...]
    strides: str = ""
    needs: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """Stable, readable, and the same for every framework."""
        shape = shape_text(self.shape, self.strides) if self.shape else ANY
        return f"{self.op}/{self.study}/{self.dtype}/{parameters_text(self.parameters)}/{shape}/{self.context}"

    def asks(self, law: str) -> bool:
        """True if a finding of a law rests on the case; what no law asks for need not be sampled.

        Args:
            law: its name, without a parameter.
        """
        return law in self._laws

    @cached_property
    def _laws(self) -> set[str]:
        return {FindingId.parse(text).family for text in self.findings}

    def replace(self, **changes: Any) -> Case:
        """The same case with other values of some fields.

        Args:
            changes: fields and their values.
        """
        return msgspec.structs.replace(self, **changes)

    def seed(self, run_seed: int, role: str) -> int:
        """The seed of this case in a run: 31 bits, so that every framework takes it.

        Args:
            run_seed: the run's, from 0 to 2**63 - 1.
            role: "backend" or "reference".
        """
        digest = hashlib.blake2b(f"{run_seed}/{role}/{self.id}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") >> 1


@dataclass(frozen=True)
class Promise:
    """A planned finding: its cases, and its share of the error budget, fixed before anything is drawn.

    Args:
        cases: those that are looked at.
        planned: how many the plan has, whichever are looked at.
    """

    id: FindingId
    share: float
    cases: tuple[Case, ...]
    planned: int

    def only(self, wanted: Callable[[Case], bool]) -> Promise:
        """The same, resting on those of its cases that are `wanted`."""
        return replace(self, cases=tuple(filter(wanted, self.cases)))

    def threshold(self, alpha: float) -> float:
        """Log10 of the e-value from which on this promise counts as broken, when the whole budget is `alpha`."""
        return -math.log10(alpha * self.share) if self.share else math.inf


def narrowed(
    promises: Mapping[str, Promise], ops: Collection[str] = (), dtypes: Collection[str] = ()
) -> dict[str, Promise]:
    """Those of `promises` that are of some operators and dtypes, with their cases of these; of all where none is named.

    A case of no dtype is of each.
    """
    found, wanted = {}, {*dtypes, ANY}
    for text, promise in promises.items():
        if not ops or promise.id.op in ops:
            some = promise.only(lambda case: case.dtype in wanted) if dtypes else promise
            if some.cases:
                found[text] = some
    return found
