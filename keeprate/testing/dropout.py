"""`assert_dropout` and `score`: one function, judged in this process as a backend is in a gate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.testing.asking import Told, apart, dtype_names, notes_on_gradients, notes_on_seeds, number_of, settle
from keeprate.testing.names import arguments, name_of

if TYPE_CHECKING:  # what judges is loaded when it is first asked
    from keeprate.harness.judging.request import Request
    from keeprate.harness.judging.verdict import Verdict

Function = Callable[..., Any]
PROFILE = "quick"
Maybe = Function | Literal[False] | None
LENDABLE = (*("asarray", "asnumpy", "dtype_of", "layout", "vjp", "linearize", "jvp", "compile", "vmap", "checkpoint"),)


class Options(TypedDict, total=False):
    """What both functions take, as `assert_dropout` tells."""

    on: Any
    dtypes: Iterable[str]
    profile: str
    alpha: float
    seed: int | Function | None
    repeat: int | None
    context: Any
    leave_out: Iterable[str]
    ranks: Iterable[int]
    layout: str | None
    asarray: Function | None
    asnumpy: Function | None
    dtype_of: Function | None
    vjp: Maybe
    linearize: Maybe
    jvp: Maybe
    compile: Maybe
    vmap: Maybe
    checkpoint: Maybe


def assert_dropout(fn: Function, like: str | Function | None = None, **options: Unpack[Options]) -> None:
    """Passes in silence if `fn` keeps what PyTorch's operator promises; a sound one fails once in a million times.

    Args:
        fn: called as `fn(x, p, train)`, with p the probability of dropping; `fn(x, p)` has no evaluation. Or a layer's
            class, or a function that makes a layer of p.
        like: the operator, by its name ("dropout2d") or PyTorch's ("torch.nn.functional.dropout2d", `nn.Dropout2d`);
            unless given, that of fn's own name, or "dropout".

    Options:
        on: whose arrays fn takes: "torch", "numpy", "mlx", "jax", an installed backend, a module of the array API;
            unless given, told from what fn returns.
        dtypes: names of those that are judged; "float32" unless given.
        profile: "smoke" (about two seconds), "quick" or "gate".
        alpha: how often, at most, a sound function fails.
        seed: a number repeats a run; a function of a number sets what fn draws from, where that isn't the framework's.
        repeat: the number, where `seed` is that function.
        context: a context manager around each call, or a function that makes one.
        leave_out: names of laws that aren't asked of fn.
        ranks: those that fn takes, if it doesn't take all of the operator's; other inputs are given to it in one of
            them, with axes of length 1, or the last ones made one.
        layout: "channels_first" or "channels_last"; the framework's unless given.
        asarray, asnumpy, dtype_of, vjp, linearize, jvp, compile, vmap, checkpoint: as in a backend, in place of what
            the framework lends; from vjp on they may be False, for a function that doesn't have that.

    Raises:
        AssertionError: a promise is broken; says which, why, and how to repeat it.
        UsageError: an option names what doesn't exist, or fn can't be called so.
        NoVerdictError: fn couldn't be judged at all: its first call raised, or gave back no such array.
    """
    __tracebackhide__ = True
    settle(lambda: _judged(fn, like, options, _number(options)))


def score(fn: Function, like: str | Function | None = None, **options: Unpack[Options]) -> dict[str, Any]:
    """The same as data; never raises for what `fn` does.

    Args:
        fn: as in `assert_dropout`.
        like: as in `assert_dropout`.
        options: as in `assert_dropout`.

    Returns:
        `verdict` ("conforms", "broken" or "none") and `sentence`; `kept`, `broken` and `errors`, numbers of findings
        by law; `failing`, the ids of those that fail, in the order of telling; `known` and `not_offered`, numbers by
        the reason; `left_out`, what wasn't asked, as the caller wished; `detectable`, the smallest departure of the
        keep rate that would have been caught, or None; `causes`, those that were tested, in words; `text`, as an
        AssertionError has it; `seed`, `profile`, `seconds`.

    Raises:
        UsageError: an option names what doesn't exist, or fn can't be called so.
    """
    number, began = _number(options), time.perf_counter()
    try:
        with apart():
            return _summary(_judged(fn, like, options, number))
    except NoVerdictError as error:
        empty: dict[str, Any] = {name: {} for name in ("kept", "broken", "errors", "known", "not_offered")}
        nothing: dict[str, Any] = {"failing": [], "left_out": [], "detectable": None, "causes": [], "text": str(error)}
        run = {"seed": number, "profile": options.get("profile", PROFILE), "seconds": time.perf_counter() - began}
        return {"verdict": "none", "sentence": str(error), **empty, **nothing, **run}


def _summary(told: Told) -> dict[str, Any]:
    """What `score` returns."""
    verdict = told.verdict
    known = [finding.known for finding in verdict if finding.known and finding.status in ("broken", "error")]
    rates = [
        finding.effect.detectable
        for finding in verdict
        if finding.law == verdict.suite.headline and finding.parameters and finding.effect
    ]
    reasons = Counter(
        (finding.detail or {}).get("reason", "")
        for finding in verdict
        if finding.status in ("not_offered", "unreadable")
    )
    return {
        "verdict": verdict.verdict,
        "sentence": verdict.sentence,
        "kept": dict(Counter(finding.family for finding in verdict if finding.status == "kept")),
        "broken": dict(Counter(finding.family for finding in verdict.failing if finding.status == "broken")),
        "errors": dict(Counter(finding.family for finding in verdict.failing if finding.status == "error")),
        "known": dict(Counter(known)),
        "failing": [finding.id for finding in verdict.failing],
        "not_offered": dict(reasons),
        "left_out": list(verdict.left_out),
        "detectable": max(rates, default=None),
        "causes": [cause.sentence for cause in verdict.causes],
        "text": "" if verdict.conforms else told.text,
        "seed": verdict.seed,
        "profile": verdict.profile,
        "seconds": verdict.run["seconds"],
    }


def _number(options: Mapping[str, Any]) -> int:
    """The number that repeats a run.

    Raises:
        UsageError: there is no such option, or the number is given twice.
    """
    from keeprate.harness.protocol.lookup import similar

    for name in options:
        if name not in Options.__annotations__:
            raise UsageError(f"assert_dropout has no option '{name}'.{similar(name, Options.__annotations__)}")
    return number_of(options.get("seed"), options.get("repeat"))


def _judged(fn: Function, like: Any, options: Mapping[str, Any], number: int) -> Told:
    from keeprate.harness.judging.gate import answer_in_words
    from keeprate.harness.judging.known import Known
    from keeprate.harness.workers.pool import InProcess
    from keeprate.testing.calls import called
    from keeprate.testing.kernel import backend_of
    from keeprate.testing.names import operator

    seed = options.get("seed")
    given = {name: options.get(name) for name in LENDABLE} | {"seed": seed if callable(seed) else None}
    ranks = _ranks(options.get("ranks", ()))
    op, call = operator(like, fn), called(fn, options.get("context"))
    request = _asked(op, options, ranks, number)
    backend = backend_of(name_of(fn), call, op, options.get("on"), given, request, ranks)
    lines, again = getattr(backend, "deviations", ()), _again(fn, like, options, number)
    request = replace(request, known=Known(lines), again=f"assert_dropout({again})")
    verdict, _ = answer_in_words(request, InProcess(backend, request.suite, request.names))
    notes = [*_notes(verdict, backend, op, seeded=callable(seed), ranks=bool(ranks))]
    return Told(verdict, notes, f'score({again})["failing"]')


def _ranks(ranks: Any) -> tuple[int, ...]:
    found = tuple(ranks) if isinstance(ranks, Iterable) and not isinstance(ranks, str) else (ranks,)
    if not all(type(rank) is int for rank in found):
        raise UsageError(f"ranks = {ranks!r} are not whole numbers, as (4,)")
    return tuple(sorted(set(found)))


def _asked(op: str, options: Mapping[str, Any], ranks: tuple[int, ...], seed: int) -> Request:
    """The request, without what was left out.

    Raises:
        UsageError: there is no such law, profile or dtype.
    """
    from keeprate.harness.judging.request import ALPHA, ask
    from keeprate.harness.protocol.lookup import similar

    request = ask(
        "",
        profile=options.get("profile", PROFILE),
        alpha=options.get("alpha", ALPHA),
        seed=seed,
        ops=[op],
        dtypes=dtype_names(options.get("dtypes") or "float32"),
    )
    left = options.get("leave_out") or ()
    left = {left} if isinstance(left, str) else set(left)
    for law in left - request.suite.by_name.keys():
        raise UsageError(f"leave_out: no law named '{law}'.{similar(law, request.suite.by_name)}")
    promises = {text: one for text, one in request.promises.items() if one.id.family not in left}
    words = [f"the law {law}" for law in request.suite.by_name if law in left]
    words += [f"arrays of ranks other than {' and '.join(map(str, ranks))}"] if ranks else []
    return replace(request.among(promises), left_out=tuple(words))


def _again(fn: Function, like: Any, options: Mapping[str, Any], seed: int) -> str:
    """The arguments that repeat a run."""
    told = {name: value for name, value in options.items() if value is not None and name not in ("seed", "repeat")}
    return arguments(fn, ({} if like is None else {"like": like}) | told, options.get("seed"), seed)


def _notes(verdict: Verdict, backend: SimpleNamespace, op: str, *, seeded: bool, ranks: bool) -> Iterator[str]:
    """What may be the caller's doing, and how to say so.

    Args:
        verdict: on the function.
        backend: what was judged.
        op: the operator's name.
        seeded: whether what the function draws from was given.
        ranks: whether its ranks were.
    """
    from keeprate.specs.dropout.contracts import CONTRACTS
    from keeprate.testing.kernel import ranks_taken
    from keeprate.testing.ranks import of_ranks_alone

    name, laws = backend.name, {finding.family for finding in verdict.failing}
    seeding = [(finding.detail or {}).get("counterexample") or {} for finding in verdict.families.get("seeding", ())]
    elsewhere = any("mask" in one.get("gave", "") for one in seeding)
    yield from notes_on_seeds(verdict, name, elsewhere=elsewhere, seeded=seeded)
    taken = ranks_taken(getattr(backend, op), CONTRACTS[op], vars(backend)) if "shape" in laws and not ranks else []
    if 0 < len(taken) < len(CONTRACTS[op].ranks):
        yield f"{name} raises for some ranks: {of_ranks_alone(taken)}"
        laws &= {"arguments"}
    else:
        yield from notes_on_gradients(verdict, name)
    if laws == {"arguments"}:
        yield f'If it is left to the callers of {name} to check p and dtypes, say so: leave_out="arguments"'
