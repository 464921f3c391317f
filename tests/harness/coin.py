"""A suite for a coin: the engine judges whatever has a plan, samples and laws."""

import numpy as np

from keeprate.suite import BackendError, Case, Suite, Tally, Unreadable, failed, law, passed

CHUNK = 10_000


@law(
    promise="A coin falls on heads as often as it says.",
    catches=("a bent coin",),
    blind_to=("the order of the throws",),
    source="a coin",
)
def fair(sample):
    """Counts heads and tails."""
    sides, chance = sample
    if not set(sides) <= {0, 1}:
        raise Unreadable("lands is broken here")
    return Tally(("heads", "tails"), (sides.sum(), len(sides) - sides.sum()), (chance, 1 - chance), departure="rate")


@law(
    promise="A coin lands on one of its sides.",
    catches=("a coin that stands on its edge",),
    blind_to=("the side that it lands on",),
    source="a coin",
)
def lands(sample):
    """Looks at every throw."""
    edges = np.flatnonzero(sample[0] > 1)
    return failed(CHUNK, len(edges), first=f"throw {edges[0]} stands on its edge") if edges.size else passed(CHUNK)


class Coin(Suite):
    name = "coin"
    laws = (fair, lands)
    headline = "fair"
    attributes = ("dtypes",)
    functions = ("seed",)
    dtypes = ("float32",)

    def plan(self, profile):
        draws = (20 if profile == "quick" else 60) * CHUNK
        for op in ("toss", "spin"):
            for p in (0.5, 0.25):
                ids = (f"{op}/fair/float32/p{p!r}/-/eager", f"{op}/lands/float32/-/-/eager")
                yield Case(op, "float32", {"p": p}, (), "eager", "throws", draws, draws, ids)

    def sample(self, case, backend, seed):
        backend.seed(seed)
        p = case.parameters["p"]
        for _ in range(case.draws // CHUNK):
            yield thrown(backend, case.op, p), p


def thrown(backend, op, p):
    try:
        return getattr(backend, op)(CHUNK, p)
    except Exception as error:
        raise BackendError(f"{op} raised {type(error).__name__}: {error}") from error


suite = Coin()
