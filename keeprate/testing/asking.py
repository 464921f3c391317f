"""What assertions share: the number that repeats a run, dtypes by name, random states, what becomes of a verdict."""

from __future__ import annotations

import inspect
import random
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.testing.names import name_of

if TYPE_CHECKING:  # what judges is loaded when it is first asked
    from keeprate.harness.judging.verdict import Verdict

RATE = 0.5  # of a first call
NUMPYS: dict[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # unless it is told


class Told(NamedTuple):
    """A verdict, and what a failure says beside it.

    Args:
        notes: what may be the caller's doing, and how to say so.
        listing: the line of Python that lists all that failed; None where there is none.
    """

    verdict: Verdict
    notes: Sequence[str] = ()
    listing: str | None = None

    @property
    def text(self) -> str:
        """What a failure says."""
        from keeprate.harness.judging.screen import verdict_text
        from keeprate.harness.judging.text import filled

        return "\n".join([verdict_text(self.verdict, listing=self.listing).rstrip(), *map(filled, self.notes)])


def settle(judge: Callable[[], Told]) -> None:
    """Passes in silence if what `judge` returns, called apart, conforms.

    Raises:
        AssertionError: a promise is broken.
        NoVerdictError: there is no verdict.
        UsageError: as `judge` does, without its frames.
    """
    __tracebackhide__ = True
    try:
        with apart():
            told = judge()
            text = "" if told.verdict.conforms else told.text
    except KeeprateError as error:
        raise type(error)(str(error)) from error.__cause__
    if text:
        raise (NoVerdictError if told.verdict.verdict == "none" else AssertionError)(text)


def number_of(seed: Any, repeat: int | None) -> int:
    """The number that repeats a run: `seed`, or `repeat` where that is a function; fresh unless given.

    Raises:
        UsageError: both are numbers, or a function takes none.
    """
    if callable(seed):
        _takes_a_number(seed)
    if seed is not None and not callable(seed) and repeat is not None:
        raise UsageError(f"seed = {seed!r} and repeat = {repeat!r}: both are the number that repeats a run")
    number = repeat if callable(seed) or seed is None else seed
    return secrets.randbits(31) if number is None else number


def _takes_a_number(seed: Callable[..., Any]) -> None:
    try:
        inspect.signature(seed).bind(0)
    except ValueError:  # some functions in C don't say
        return
    except TypeError as error:
        raise UsageError(f"seed = {name_of(seed)} is called with one number, which it doesn't take: {error}") from None


def dtype_names(dtypes: Any) -> str | list[str]:
    """Names of dtypes, one or several, of which some may be a framework's own; commas may separate those of a text."""
    if isinstance(dtypes, str):
        return dtypes
    several = dtypes if isinstance(dtypes, Iterable) else [dtypes]
    return [getattr(one, "__name__", str(one)).rpartition(".")[2] for one in several]  # NumPy's are classes


def notes_on_seeds(verdict: Verdict, name: str, *, elsewhere: bool, seeded: bool) -> Iterator[str]:
    """How to say what a function draws from, if that may be why it failed.

    Args:
        verdict: on the function.
        name: the function's.
        elsewhere: whether its seed had no effect.
        seeded: whether what it draws from was given.
    """
    if elsewhere and not seeded:
        yield f"{name} was seeded as its framework is. If it draws from elsewhere, give what sets that: seed="
    if seeded and verdict.failing and all("checkpoint" in finding.context for finding in verdict.failing):
        yield (
            f"Under checkpoint the framework's random state is put back, and not another. If {name} isn't called under "
            "it, say so: checkpoint=False"
        )


def notes_on_gradients(verdict: Verdict, name: str) -> Iterator[str]:
    """How to say that a function has no gradient, if that is why it failed."""
    if any((finding.detail or {}).get("reason", "").startswith("vjp raised") for finding in verdict.failing):
        yield f"If {name} has no gradient by intent, say so: vjp=False"


@contextmanager
def apart() -> Iterator[None]:
    """Nothing that the caller has set reaches a run, and the random states of Python and of whatever framework is there
    are put back: tests that follow draw as they would have.

    PyTorch, the reference too, computes in one thread, as in the workers of a gate: threads that wait take time too.
    """
    own = random.getstate()  # which imports may move
    import torch

    from keeprate.testing.arrays import imported

    threads = torch.get_num_threads()
    states = [(glue["set_state"], glue["get_state"]()) for glue in imported().values() if "set_state" in glue]
    torch.set_num_threads(1)
    try:
        with np.errstate(**NUMPYS), torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        for set_state, state in states:
            set_state(state)
        random.setstate(own)
