"""The dropout suite: its plan, its samples, its laws, and what a person sees of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keeprate.specs.dropout import adapter, aims, calls, likeness, shrinking
from keeprate.specs.dropout.contexts import plainness
from keeprate.specs.dropout.hypotheses import every
from keeprate.specs.dropout.hypotheses.clues import clues
from keeprate.specs.dropout.laws.every import LAWS
from keeprate.specs.dropout.observations import Calls
from keeprate.specs.dropout.plan import plan
from keeprate.specs.dropout.rows import READ
from keeprate.specs.foreign import held, lost
from keeprate.specs.masks.sample import picture_of
from keeprate.specs.masks.search import searched
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import within
from keeprate.suite import Case, Cause, Defect, Picture, Suite, shown

HERE = Path(__file__).parent
LAYOUTS = ("channels_first", "channels_last")


class Dropout(Suite):
    """Eight operators of PyTorch, and one that few frameworks have, judged against PyTorch."""

    name = "dropout"
    reference = "torch"
    headline = "keep_rate"
    weights: Mapping[str, float] = aims.WEIGHTS
    together: Mapping[str, float] = aims.TOGETHER
    attributes = ("layout", "dtypes")
    functions = ("seed", "asarray", "asnumpy", "dtype_of")
    capabilities: Sequence[str] = (
        "linearize",
        "jvp",
        "vjp",
        "compile",
        "vmap",
        "checkpoint",
        "module",
        "inplace",
        "get_state",
        "set_state",
        "forks",
        "pack",
    )
    dtypes = DTYPES
    template = HERE / "template.py"
    # Read from public threads, as stored excerpts: open a thread before quoting it elsewhere.
    defects = tuple(
        Defect(row["id"], row["source"], row["wrong"], row["where"], tuple(row["laws"]))
        for row in json.loads((HERE / "defects.json").read_text(encoding="utf-8"))
    )
    # Made by `make mutants`: what each mutant breaks.
    causes = tuple(likeness.cause(**row) for row in json.loads((HERE / "causes.json").read_text(encoding="utf-8")))
    laws = LAWS
    hypotheses = every.HYPOTHESES
    accounts = staticmethod(every.accounts)
    questions = staticmethod(every.questions)
    explains = staticmethod(every.explains)
    where = staticmethod(every.where)
    plan = staticmethod(plan)
    check = staticmethod(adapter.check)
    calls = staticmethod(calls.calls)
    lost = staticmethod(lost)
    held = staticmethod(held)
    detects = staticmethod(aims.detects)
    rank = staticmethod(plainness)
    within = staticmethod(within)
    for_reference = staticmethod(shrinking.for_reference)
    recorded = staticmethod(shrinking.as_recorded)
    shrink = staticmethod(shrinking.shrink)

    def sample(self, case: Case, backend: Any, seed: int) -> Iterator[Any]:
        """The samples of a case: masks, forward and backward passes, or single calls."""
        import scipy.fft  # noqa: F401 - here, so that workers are forked with it

        # A plan does not need PyTorch.
        from keeprate.specs.dropout import arguments, forked, gradients, seeding, single_calls
        from keeprate.specs.dropout import sample as samples
        from keeprate.specs.dropout import streams as seeds

        studies = {
            "masks": samples.masks,
            "unmapped": samples.masks,
            "lazy": samples.lazily,
            "streams": seeds.streams,
            "mixed": seeds.mixed,
            "sizes": seeds.sizes,
            "after_seeds": seeds.after_seeds,
            "processes": seeds.processes,
            "between_processes": seeds.between_processes,
            "gradients": gradients.gradients,
            "many": single_calls.many,
            "bounds": seeding.bounds,
            "forked": forked.forked,
            "arguments": arguments.arguments,
            "probabilities": arguments.probabilities,
        }
        if case.study.startswith("clues"):
            return clues(case, backend, seed)
        drawn = studies.get(case.study, single_calls.calls)(case, backend, seed)
        return searched(drawn, case.asks) if case.study in READ else drawn

    def forked(self) -> None:
        """Seeds PyTorch's generator, if there is one."""
        if torch := sys.modules.get("torch"):
            torch.default_generator.seed()

    def refusal(self, backend: Any) -> str:
        """What is wrong with `layout` or `dtypes`."""
        if not (isinstance(backend.layout, str) and backend.layout in LAYOUTS):
            return f"layout = {shown(backend.layout)} is not 'channels_first' or 'channels_last'"
        dtypes = backend.dtypes
        for some in dtypes.values() if isinstance(dtypes, Mapping) and dtypes else [dtypes]:
            listed = isinstance(some, Sequence) and not isinstance(some, str)
            if not (listed and some and all(isinstance(dtype, str) and dtype in DTYPES for dtype in some)):
                return (
                    f"dtypes = {shown(dtypes)} is not a list of some of {', '.join(DTYPES)}, nor one for each operator"
                )
        return ""

    def picture(self, case: Case, backend: Any, seed: int) -> Picture | None:
        """The first masks of a case; None for studies of single calls."""
        first = next(self.sample(case, backend, seed))
        return None if isinstance(first, Calls) else picture_of(first.mask)

    def demonstrate(self, case: Case, law: str, seed: int) -> str:
        """Lines of NumPy, with PyTorch's answers written into them."""
        from keeprate.specs.dropout.reproduction import script  # here, as in `sample`

        return script.demonstrate(case, law, seed)

    def likely_causes(self, findings: Sequence[Any]) -> list[tuple[float, Cause]]:
        """Mutants that broke the same laws to the same effect."""
        return likeness.likely_causes(likeness.marks_of(findings), self.causes)


suite = Dropout()
