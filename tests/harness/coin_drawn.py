"""The suite for a coin, with a picture of its throws."""

from coin import headline, laws, plan, sample

__all__ = ["headline", "laws", "picture", "plan", "sample"]


def picture(case, backend, seed):
    sides, _ = next(sample(case, backend, seed))
    return ["".join("TH"[side] for side in sides[:80])]
