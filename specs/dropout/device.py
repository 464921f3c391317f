"""What an accelerator adds: operators captured in a graph that is replayed, and on a stream of their own.

A suite apart, with an error budget of its own: few backends have such contexts, and the plan of the others is the same
with them and without.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from keeprate.specs.dropout import plan
from keeprate.specs.dropout.aims import MAIN, WEIGHTS
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.rows import Laws, Place, Row
from keeprate.specs.dropout.suite import Dropout
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import DEVICE, ROWS
from keeprate.suite import Case

LAWS = ("outcomes", "constancy", "keep_rate", "no_mask_twice", *(name.partition(":")[0] for name in plan.MIXED))


def _rows(context: str) -> Iterator[Row]:
    laws = Laws(plan.EXACT, "", (), ""), Laws(("no_mask_twice", *plan.MIXED), "", MAIN, "")
    yield Row("masks", laws, MAIN, plan.OBLONG, _draws, context)
    yield Row("reseeding", (Laws(("seeding",), "", (), ""),), context=context, dtypes=DTYPES[:1])


def _draws(at: Place) -> tuple[int, None]:
    return max(2 * ROWS * at.entries, at.less), None


class OnDevice(Dropout):
    """Eight operators of PyTorch, replayed and on streams; PyTorch's eager ones on the CPU say what is right."""

    name = "device"
    reference = ""
    laws = tuple(law for law in Dropout.laws if law.name in (*LAWS, "seeding"))
    weights = MappingProxyType({law.name: WEIGHTS[law.name] for law in laws if law.name in WEIGHTS})
    together = MappingProxyType[str, float]({})
    capabilities = DEVICE
    causes, hypotheses, defects = (), (), ()

    @staticmethod
    def plan(profile: str) -> Iterator[Case]:
        """Every case of `profile`, whatever the backend offers."""
        for contract in CONTRACTS.values():
            for dtype in DTYPES if not contract.optional else ():
                for context in DEVICE:
                    for row in _rows(context):
                        yield from row.cases(contract, dtype, profile)


suite = OnDevice()
