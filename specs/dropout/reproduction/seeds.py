"""The same of what a seed does: what is drawn after it, after its neighbours, after special ones, and from a state."""

from typing import Any

import numpy as np

from keeprate.specs.dropout.reproduction.masks import (
    CALL,
    CALLS,
    ENTRIES,
    FUNCTION,
    SEED,
    SHAPE,
    P,
    masks,
    native,
    operator,
    pairs,
    read,
)

STEP = 1  # from seed to seed
ORDER = (0, 0)  # which call after each of the two


def after(backend: Any, seed: int, number: int) -> Any:
    """The first masks after a seed."""
    backend.seed(seed)
    return masks(backend, number)


def streams(backend: Any) -> None:
    first, second = after(backend, SEED, 2)[ORDER[0]], after(backend, SEED + STEP, 2)[ORDER[1]]
    agree, by_chance = (first == second).mean(), P**2 + (1 - P) ** 2
    print(f"masks after seeds s = {SEED} and s + {STEP} agree in {agree:.5f} of entries ({by_chance:.5f})")


def threads(backend: Any) -> None:
    seen = masks(backend, CALLS)
    different = len({mask.tobytes() for mask in seen})
    print(f"{different:,} different masks in {CALLS:,} fresh threads ({CALLS:,})")
    pairs(seen[0::2], seen[1::2])


def first_positions(backend: Any) -> None:
    seeds = np.random.default_rng(SEED).integers(2**31, size=CALLS).tolist()
    seen = np.array([after(backend, seed, 1)[0, :64] for seed in seeds]).mean(axis=0)
    worst, error = abs(seen - (1 - P)).argmax(), (P * (1 - P) / CALLS) ** 0.5
    print(f"entry {worst} is kept after {seen[worst]:.4f} of the seeds ({1 - P:.4f}, give or take {error:.4f})")


def seeding(backend: Any) -> None:
    first, few = after(backend, SEED, 2), np.ones(SHAPE)
    print("the same seed gives the same masks:", (first == after(backend, SEED, 2)).all(axis=1), "([ True  True])")
    print("and seed 0 too:", (after(backend, 0, 1) == after(backend, 0, 1)).all(), "(True)")
    for seed in (SEED + 1, SEED ^ 1):
        print("another seed gives the same mask:", (first[0] == after(backend, seed, 1)[0]).all(), "(False)")
    for what, x, p, train in (
        ("a call in evaluation", few, P, False),
        ("a call at p = 0", few, 0.0, True),
    ):
        backend.seed(SEED)
        operator(backend, native(backend, x), p, train)
        print(what, "between changes nothing:", (masks(backend, 1)[0] == first[0]).all(), "(True)")
    after(backend, SEED, 1)
    operator(backend, native(backend, few[:0]), P)
    print(
        "after a call and one on no entries comes the second mask:", (masks(backend, 1)[0] == first[1]).all(), "(True)"
    )
    large = []
    for _ in range(2):
        backend.seed(SEED)
        large.append(read(backend, operator(backend, native(backend, np.ones((1 << 17, *SHAPE[1:]))), P)))
    print("the same seed gives the same mask in a large call:", (large[0] == large[1]).all(), "(True)")


def some_seeds(backend: Any) -> None:
    error = (P * (1 - P) / ENTRIES / 32) ** 0.5
    seen: dict[int, Any] = {}
    for seed in (0, 1, 2**32 - 1, 2**32, 2**48, 2**63 - 1):
        try:
            drawn = after(backend, seed, 32)
        except ValueError:
            continue  # a seed that a framework may refuse
        print(f"seed {seed} gives the same mask again: {(drawn[0] == after(backend, seed, 1)[0]).all()} (True)")
        off = abs(drawn.mean() - (1 - P)) / error
        print(f"after it the keep rate is right to six standard errors: {off < 6} (True)")
        alike = [other for other, mask in seen.items() if (other - seed) % 2**32 and (mask == drawn[0]).all()]
        print(f"its mask is another than those after the seeds before: {not alike} (True)")
        seen[seed] = drawn[0]


def masks_after_seeds(backend: Any) -> None:
    seeds = np.random.default_rng(SEED).integers(2**31, size=12_000).tolist()
    different = len({after(backend, seed, 1)[0].tobytes() for seed in seeds})
    print(f"{different:,} different masks after {len(set(seeds)):,} seeds ({len(set(seeds)):,})")


def state(backend: Any) -> None:
    if not hasattr(backend, "get_state"):
        print("a random state can't be had (get_state, set_state)")
        return
    function = FUNCTION(backend)
    saved = backend.get_state()
    first = CALL(backend, function, 1.0)
    backend.set_state(saved)
    print("a state that is put back gives the same mask:", (CALL(backend, function, 1.0) == first).all(), "(True)")
