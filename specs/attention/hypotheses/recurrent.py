"""Hypotheses about recurrent layers: one of their own, and those of attention that make sense here."""

from __future__ import annotations

from collections.abc import Iterable

from keeprate.specs.accounts import exact, of_pairs
from keeprate.specs.attention.hypotheses import calls, masks, values
from keeprate.specs.attention.hypotheses.recurrent_clues import RecurrentClues
from keeprate.specs.attention.levels import levels
from keeprate.suite import Account, Hypothesis


def shared_gaps(clues: RecurrentClues) -> Account:
    """Whether all gaps have one mask."""
    kept, both = clues.gaps()
    against, promise = of_pairs(kept - both, kept)
    seen = f"the first gap drops {kept - both:,} of {kept:,} units that the second one keeps; it should drop 50 %"
    return Account(kept, against, promise, seen)


def drops_last(clues: RecurrentClues) -> Account:
    """Whether the last layer's outputs are dropped as well, and scaled."""
    p = 0.3
    out = next(clues.outputs(clues.caller(), clues.at(p).inputs(int), p))
    left = out[out != 0]
    whole = levels(clues.at(p)).outputs[-1].reshape(-1)[0] / (1 - p)
    fits = left.size > 0 and bool(clues.near(left, whole).all())
    seen = f"what isn't 0 is 1/(1 − p) times what the last layer gives, and {out.size - left.size} of {out.size} are 0"
    return exact(fits, fits, out.size, seen)


HYPOTHESES = (
    Hypothesis("shared_gaps", "sharing", "uses one mask for all gaps between layers", shared_gaps, frozenset({"gaps"})),
    Hypothesis("drops_last", "value", "drops outputs of the last layer too", drops_last, frozenset({"outcomes"})),
)
OWN = frozenset(one.name for one in HYPOTHESES)
ASKED = OWN | {
    *("shared_axis", "one_mask", "overlap", "tail", "scale", "promotes", "writes", "noise", "unmasked", "drawn_again"),
    *("seed_ignored", "draws_in", "takes", "dropping", "scaling", "keeps_at_one"),
}
PARAMETERS: dict[str, Iterable[object]] = {
    **masks.PARAMETERS,
    **values.PARAMETERS,
    **calls.PARAMETERS,
    "shared_axis": range(3),
    "noise": ("unscaled", "times_p"),
}
