"""The suite of attention, and of other operators with dropout inside: whether they drop as PyTorch's do, both ways."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from keeprate.specs.attention import encoder_plan as encoder
from keeprate.specs.attention import plan as attention
from keeprate.specs.attention import recurrent_plan as recurrent
from keeprate.specs.attention.cases import WEIGHTS
from keeprate.specs.attention.hypotheses import every
from keeprate.specs.attention.laws import LAWS
from keeprate.specs.attention.places import OPERATORS, place_of
from keeprate.specs.foreign import held, lost
from keeprate.specs.masks.sample import picture_of
from keeprate.specs.masks.search import searched
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import PLAIN, within
from keeprate.suite import Case, Picture, Suite, Tally, shown


class Attention(Suite):
    """A backend's attention, recurrent layers and encoder layer, judged against PyTorch's."""

    name = "attention"
    reference = "torch"
    headline = "keep_rate"
    weights = WEIGHTS
    attributes = ("dtypes",)
    functions = ("seed", "asarray", "asnumpy", "dtype_of")
    capabilities = ("vjp", "linearize", "compile", "vmap", "checkpoint", "module")
    dtypes = DTYPES
    laws = LAWS
    hypotheses = every.HYPOTHESES
    accounts = staticmethod(every.accounts)
    questions = staticmethod(every.questions)
    explains = staticmethod(every.explains)
    where = staticmethod(every.where)
    within = staticmethod(within)
    lost = staticmethod(lost)
    held = staticmethod(held)

    def plan(self, profile: str) -> Iterator[Case]:
        """Attention first."""
        yield from attention.plan(profile)
        yield from recurrent.plan(profile)
        yield from encoder.plan(profile)

    def detects(self, case: Case, alpha: float) -> float:
        """The smallest departure of the keep rate that `case`, drawn as planned, catches with probability 0.99."""
        p, entries = case.parameters["p"], prod(place_of(case).mask_shape)
        number = -(-case.draws // entries) * entries
        dropped = round(number * p)
        return Tally(("kept", "dropped"), (number - dropped, dropped), (1 - p, p), departure="rate").detectable(alpha)

    def sample(self, case: Case, backend: Any, seed: int) -> Iterator[Any]:
        """The samples of a case: masks, passes, or single calls."""
        from keeprate.specs.attention import processes, sample, single_calls  # a plan does not need PyTorch
        from keeprate.specs.attention.hypotheses.looked import clues

        if case.study == "clues":
            return clues(case, backend, seed)
        of_masks = {
            "masks": sample.masks,
            "lazy": sample.lazily,
            "streams": sample.streams,
            "after_seeds": sample.after_seeds,
            "passes": sample.passes,
            "pullbacks": sample.pullbacks,
            "gaps": sample.gaps,
            "processes": processes.processes,
            "between_processes": processes.between_processes,
        }
        if case.study in of_masks:
            return searched(of_masks[case.study](case, backend, seed), case.asks)
        return getattr(single_calls, case.study)(case, backend, seed)  # type: ignore[no-any-return]

    def forked(self) -> None:
        """Seeds PyTorch's generator, if there is one."""
        if torch := sys.modules.get("torch"):
            torch.default_generator.seed()

    def refusal(self, backend: Any) -> str:
        """What is wrong with `dtypes`, or that there is no operator."""
        if not any(callable(getattr(backend, name, None)) for name in OPERATORS):
            return f"it has none of the operators {', '.join(OPERATORS)}"
        dtypes = backend.dtypes
        listed = isinstance(dtypes, Sequence) and not isinstance(dtypes, str)
        if not (listed and dtypes and all(isinstance(dtype, str) and dtype in DTYPES for dtype in dtypes)):
            return f"dtypes = {shown(dtypes)} is not a list of some of {', '.join(DTYPES)}"
        return ""

    def rank(self, context: str) -> int:
        """0 for a plain call, 1 for a pass forward and back, then the more, the more is combined."""
        return PLAIN.index(context) if context in PLAIN else 2 + context.count("+") + (context == "fused")

    def picture(self, case: Case, backend: Any, seed: int) -> Picture | None:
        """The first masks of a case; None for studies of single calls."""
        first = next(self.sample(case, backend, seed))
        return picture_of(first.mask) if first.bits is not None or first.unreadable else None


suite = Attention()
