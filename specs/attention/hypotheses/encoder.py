"""Hypotheses about an encoder's layer: two of its own, and those of recurrent layers that make sense here."""

from __future__ import annotations

from keeprate.specs.accounts import exact, of_pairs
from keeprate.specs.attention.encoder import BOTH, SITES
from keeprate.specs.attention.hypotheses import recurrent
from keeprate.specs.attention.hypotheses.clues import RATES
from keeprate.specs.attention.hypotheses.encoder_clues import EncoderClues
from keeprate.specs.attention.looks import BEYOND, whole
from keeprate.suite import Account, Hypothesis, Unreadable


def undropped(clues: EncoderClues) -> Account:
    """Whether nothing is dropped in one place."""
    if clues.place.site == BOTH:
        raise Unreadable("two places are looked at together")
    fits, number = True, 0
    for p in RATES:
        at = clues.at(p)
        out = next(clues.outputs(clues.caller(), at.inputs(int), p))[..., at.shows]
        part = out / whole(at)[0][..., at.shows]
        kept = part[part != 0] if at.site in BEYOND else part
        fits &= kept.size > 0 and bool(clues.near(kept, 1 - p).all())
        number += part.size
    seen = f"at p = {RATES[0]}, {RATES[1]} and {RATES[2]} nothing is dropped or scaled there"
    return exact(fits, fits, number, seen, where=SITES[clues.place.site])


def shared_sites(clues: EncoderClues) -> Account:
    """Whether two places that drop arrays of one shape have one mask."""
    kept, both = clues.gaps()
    against, promise = of_pairs(kept - both, kept)
    seen = f"the mask before drops {kept - both:,} of {kept:,} units that the last one keeps; it should drop 50 %"
    return Account(kept, against, promise, seen)


def _h(name: str, kind: str, says: str, function: object, *laws: str) -> Hypothesis:
    return Hypothesis(name, kind, says, function, frozenset(laws))  # type: ignore[arg-type]


HYPOTHESES = (
    _h("undropped", "value", "doesn't drop its {where}", undropped, "outcomes", "keep_rate", "replayed"),
    _h("shared_sites", "sharing", "uses one mask for attention's outputs and its own", shared_sites, "gaps"),
)
OWN = frozenset(one.name for one in HYPOTHESES)
ASKED = (recurrent.ASKED - recurrent.OWN) | OWN
