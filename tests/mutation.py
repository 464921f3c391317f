"""The mutants of `tests/mutants`, and how each is judged: what tests and benchmarks share."""

import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from keeprate.harness.judging.early import answer_early
from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import Request, ask
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess
from keeprate.harness.workers.resources import Resources

FOLDER = Path(__file__).parent / "mutants"
NOT_WRITTEN = {  # the defects that no mutant stands for
    "H3": "the fault was a test's, not an operator's",
    "I6": "a backend is always given the training flag",
    "J3": "both are right: a dropped infinity is NaN where one multiplies, and 0 where one selects",
    "P1": "no operator here returns its mask",
}


def mutants() -> Iterator[tuple[str, type]]:
    """Each mutant and its name, kind:class; a kind is a module."""
    for path in sorted(FOLDER.glob("*.py")):
        module = find(str(path), group="", kind="module")
        for name, item in list(vars(module).items()):
            if inspect.isclass(item) and hasattr(item, "meant_for") and item.__module__ == module.__name__:
                yield f"{path.stem}:{name}", item


def source(mutant: type) -> str:
    """A digest of what the mutant is written in, its bases included; what is said of its cause changes nothing."""
    texts = [re.sub(r"(?m)^    cause = .*\n", "", inspect.getsource(one)) for one in mutant.__mro__[:-1]]
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=6).hexdigest()


def defects_of(mutant: type) -> list[str]:
    """The defects that it stands for, as its first line names them behind the last full stop."""
    *_, named = inspect.getdoc(mutant).splitlines()[0].removesuffix(".").rpartition(".")
    return re.findall(r"\b[A-P]\d+\b", named)


def says(mutant: type) -> str:
    """Its fault in words, without the defects that it stands for."""
    first = inspect.getdoc(mutant).splitlines()[0]
    return re.sub(r"( [A-P]\d+,?)+( \(.*\))?\.$| No row: .*$", "", first).removesuffix(".")


def laws_of(mutant: type) -> set[str]:
    """The laws that are meant for it."""
    return {mutant.meant_for} if isinstance(mutant.meant_for, str) else set(mutant.meant_for)


def families_of(mutant: type) -> set[str]:
    """The same without their parameters."""
    return {law.partition(":")[0] for law in laws_of(mutant)}


def places_of(mutant: type) -> tuple[str, ...]:
    """The contexts in which it is faulty; none where it is in all."""
    where = getattr(mutant, "where", ())
    return (where,) if isinstance(where, str) else where


def profile_of(mutant: type) -> str:
    """The quickest profile that promises to fail it."""
    return getattr(mutant, "profile", "quick")


def is_of_all(mutant: type) -> bool:
    """Whether its fault is too small for any operator, and common to all."""
    return getattr(mutant, "together", False)


def asked_of(mutant: type, op: str, profile: str) -> Request:
    """What it is asked: called plainly, and in the contexts that have a part of where it is faulty.

    One that shows in all operators together alone is asked everything. The reference is left unjudged: every gate
    judges it, and one run of it is like another.
    """
    if is_of_all(mutant):
        return ask("", profile=profile).alone()
    dtypes = ("float32",) if len(mutant.dtypes) == 4 else mutant.dtypes  # one is enough, unless it chose
    where = places_of(mutant)
    name = f"{FOLDER}/contexts.py:{mutant.__name__}" if "process" in where else ""
    request = ask(name, profile=profile, ops=[op], dtypes=dtypes)
    parts = {"eager", "grad", *(part for place in where for part in place.split("+"))}
    return request.alone().among(
        {text: one for text, one in request.promises.items() if not parts.isdisjoint(one.id.context.split("+"))}
    )


def without_causes(request: Request) -> Request:
    """The same, where laws alone are tried: to look for the cause takes as long as they do."""
    suite = copy(request.suite)
    suite.hypotheses = ()
    return replace(request, suite=suite)


class Sent(InProcess):
    """In this process, with results that are what comes of them on a wire."""

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` one after another."""
        return map(sent, super().map(jobs))

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The same of jobs that may cost no verdict."""
        return map(sent, super().aside(jobs))


def sent(result: Result) -> Result:
    """A result, encoded and decoded again."""
    return Result.from_json(json.loads(json.dumps(result.to_json())))


def judged(mutant: type, request: Request, *, early: bool = False) -> Verdict:
    """The verdict over it, or that at the first promise which breaks."""
    if request.backend:
        with open_runner(request, Resources(workers=1)) as runner:
            return answer(request, runner)
    # In this process, as an object: a child of its own would take longer than the judging.
    runner = Sent(mutant(), request.suite, request.names)
    return answer_early(request, runner)[0] if early else answer(request, runner)


def faithful() -> dict[str, Any]:
    """The faithful backends by name, and the plain one that all of them, and all mutants, begin from."""
    module = find(str(FOLDER / "faithful.py"), group="", kind="module")
    found = {
        name: item
        for name, item in vars(module).items()
        if inspect.isclass(item) and hasattr(item, "dropout") and item.__module__ == module.__name__
    }
    return {"Plain": find(str(FOLDER / "plain.py"), group="", kind="module").Plain, **found}


def address(backend: type) -> str:
    """The name that a backend of this folder is judged by."""
    return f"{inspect.getfile(backend)}:{backend.__name__}"
