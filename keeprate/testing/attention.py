"""`assert_attention_dropout`: one function of queries, keys and values, judged in this process as in a gate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from keeprate.harness.errors import UsageError
from keeprate.testing.asking import Told, dtype_names, notes_on_gradients, notes_on_seeds, number_of, settle
from keeprate.testing.attention_calls import LAYOUTS
from keeprate.testing.names import arguments, name_of

if TYPE_CHECKING:  # what judges is loaded when it is first asked
    from keeprate.harness.judging.request import Request
    from keeprate.harness.judging.verdict import Verdict
    from keeprate.testing.attention_kernel import Takes

LEAST = 16  # channels of a head that a mask is read by
Function = Callable[..., Any]


def assert_attention_dropout(
    fn: Function,
    *,
    on: Any = None,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    heads: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    causal: bool = True,
    grouped: bool = True,
    dtypes: Iterable[str] = ("float32",),
    profile: str = "quick",
    alpha: float = 1e-6,
    seed: int | Function | None = None,
    repeat: int | None = None,
    vjp: Function | Literal[False] | None = None,
    compile: Function | Literal[False] | None = None,
    vmap: Function | Literal[False] | None = None,
    checkpoint: Function | Literal[False] | None = None,
) -> None:
    """Passes in silence if `fn` drops attention weights as PyTorch does; a sound one fails once in a million times.

    Args:
        fn: called with queries, keys and values, and with p, causal and train by the names that its own parameters
            have: dropout_p, is_causal, training, …; in this order where none has such a name. Without a mode it is
            given p = 0 in evaluation.
        on: whose arrays fn takes: "torch", "numpy", "mlx", "jax", …; unless given, told from what fn returns.
        layout: "bhsd", (batch, heads, sequence, channels), or "bshd".
        heads: the heads of queries, where fn takes no other number.
        kv_heads: those of keys and values, a divisor of heads; as many unless given.
        head_dim: the channels of a head, 16 or more, where fn takes no others.
        causal: False where fn has no causal mask.
        grouped: False where fn takes any number of heads, but as many of keys as of queries; kv_heads says it of one.
        dtypes: those that are judged, by name.
        profile: "smoke", "quick", "gate" or "deep": how small a departure is caught.
        alpha: upper bound on the probability that a conforming function fails.
        seed: a number repeats a run; a function of a number sets what fn draws from.
        repeat: the number that repeats a run, where seed is a function.
        vjp: as in a backend, in place of the framework's; False for a function without a gradient.
        compile: the same; False where fn isn't meant to be compiled.
        vmap: the same; False where fn isn't meant to be mapped.
        checkpoint: the same; False where fn isn't meant to be computed again, as with a generator of its own.

    Raises:
        AssertionError: a promise is broken; says which, and how to repeat it.
        UsageError: an option names what doesn't exist, or fn can't be called so.
        NoVerdictError: fn couldn't be judged at all: its first call raised, or gave back no such array.
    """
    __tracebackhide__ = True
    dtypes = dtype_names(dtypes)
    options = _unusual(locals())

    def judge() -> Told:
        from keeprate.harness.judging.gate import answer_in_words
        from keeprate.harness.judging.known import Known
        from keeprate.harness.workers.pool import InProcess
        from keeprate.testing.attention_kernel import backend_of

        own = {"vjp": vjp, "compile": compile, "vmap": vmap, "checkpoint": checkpoint}
        takes, request = _asked(
            own,
            layout=layout,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            causal=causal,
            grouped=grouped,
            dtypes=dtypes,
            profile=profile,
            alpha=alpha,
            seed=number_of(seed, repeat),
        )
        backend = backend_of(name_of(fn), fn, on, takes, own | {"seed": seed if callable(seed) else None})
        again = f"assert_attention_dropout({arguments(fn, options, seed, request.seed)})"
        request = replace(request, known=Known(getattr(backend, "deviations", ())), again=again)
        verdict, _ = answer_in_words(request, InProcess(backend, request.suite, request.names))
        return Told(verdict, [*_notes(verdict, backend, takes, seeded=callable(seed))])

    settle(judge)


def _unusual(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the assertion that aren't left as they are, but for seed and repeat."""
    usual = {name: one.default for name, one in inspect.signature(assert_attention_dropout).parameters.items()}
    usual["dtypes"] = dtype_names(usual["dtypes"])
    return {name: given[name] for name in usual if given[name] != usual[name] and name not in ("fn", "seed", "repeat")}


def _asked(own: Mapping[str, Any], *, heads: Any, kv_heads: Any, **options: Any) -> tuple[Takes, Request]:
    """What fn takes, and what is asked of it.

    Args:
        own: what stands in place of the framework's.
        heads: as in the assertion.
        kv_heads: the same.
        options: the others, as in the assertion, with seed the number that repeats a run.

    Raises:
        UsageError: an option is of the wrong kind, or names what doesn't exist.
    """
    from keeprate.harness.judging.request import ask
    from keeprate.specs.attention.heads import suite_of
    from keeprate.testing.attention_kernel import Takes

    given = {name: options.pop(name) for name in ("layout", "head_dim", "causal", "grouped")}
    _check(own, **given)
    kv_heads = _kv_heads(heads, kv_heads, grouped=given["grouped"])
    suite = "attention" if heads is None else suite_of(heads, kv_heads)
    request = ask("", suite=suite, ops=["attention"], **options)
    dtypes = tuple(dict.fromkeys(case.dtype for one in request.promises.values() for case in one.cases))
    return Takes(dtypes=dtypes, heads=heads, kv_heads=kv_heads, **given), request


def _check(own: Mapping[str, Any], *, layout: Any, head_dim: Any, **flags: Any) -> None:
    """Refuses options of the wrong kind, and heads of too few channels.

    Raises:
        UsageError: says which.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout = {layout!r} is neither 'bhsd' nor 'bshd'")
    for name, value in own.items():
        if value not in (None, False) and not callable(value):
            raise UsageError(f"{name} = {value!r} is neither a function nor False")
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} = {value!r} is neither True nor False")
    if head_dim is not None and (not isinstance(head_dim, int) or head_dim < LEAST):
        raise UsageError(f"head_dim = {head_dim!r} is not a number of channels that shows a mask: {LEAST} or more")


def _kv_heads(heads: Any, kv_heads: Any, *, grouped: bool) -> int | None:
    """How many heads of keys fn takes; None for any number.

    Raises:
        UsageError: these are no numbers of heads, or don't agree.
    """
    for name, value in {"heads": heads, "kv_heads": kv_heads}.items():
        if value is not None and (type(value) is not int or value < 1):
            raise UsageError(f"{name} = {value!r} is not a number of heads, 1 or more")
    if heads is None:
        if kv_heads is not None:
            raise UsageError(f"kv_heads = {kv_heads} is of keys alone: give the heads of queries too, heads=")
        return None
    number = heads if kv_heads is None else kv_heads
    if heads % number:
        divisors = ", ".join(str(one) for one in range(1, heads + 1) if heads % one == 0)
        raise UsageError(
            f"heads = {heads} is no multiple of kv_heads = {kv_heads}: as many of queries share each head of keys; "
            f"give kv_heads of {divisors}"
        )
    if number < heads and not grouped:
        raise UsageError(f"grouped = False, but kv_heads = {kv_heads} of heads = {heads} are groups: leave out one")
    return int(number)


def _notes(verdict: Verdict, backend: SimpleNamespace, takes: Takes, *, seeded: bool) -> Iterator[str]:
    """What may be the caller's doing, and how to say so.

    Args:
        verdict: on the function.
        backend: what was judged.
        takes: what it takes.
        seeded: whether what it draws from was given.
    """
    from keeprate.testing.attention_kernel import raised

    if not verdict.failing:
        return
    name = backend.name
    seeding = [(finding.detail or {}).get("first") or {} for finding in verdict.families.get("seeding", ())]
    elsewhere = any("the same seed" in one.get("first", "") for one in seeding)
    yield from notes_on_seeds(verdict, name, elsewhere=elsewhere, seeded=seeded)
    of_groups = takes.grouped and takes.heads is None and raised(backend, takes, grouped=True)
    of_causal = takes.causal and raised(backend, takes, hidden=True)
    if of_groups:
        yield f"Where heads share keys, {name} raises {of_groups}. If it takes no such heads, say so: grouped=False"
    if of_causal:
        yield f"Under a causal mask {name} raises {of_causal}. If it has none, say so: causal=False"
    if not of_groups and not of_causal:
        yield from notes_on_gradients(verdict, name)
