"""Runs one case: samples the backend chunk by chunk, lets every law look, adds up what they say."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec

from keeprate.harness.errors import BackendError, NotOffered, Unreadable
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.evidence.wire import decoded
from keeprate.harness.protocol.case import Case, FindingId
from keeprate.harness.protocol.description import Picture
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.protocol.suite import Suite

GIVEN_UP = "given up"  # the kind of error of a case that was not run, after too many others had ended their workers


class Job(msgspec.Struct, frozen=True):
    """One case to run, and everything that its result depends on.

    Args:
        role: whom it judges, `reference` or `backend`.
        case: where to look; for the reference with the reference's draws.
        seed: the run's seed.
        thresholds: for each finding of the case, log10 of the e-value that ends the case; None for those that never do.
        passes: how often the plan's draws are drawn.
    """

    role: str
    case: Case
    seed: int
    thresholds: dict[str, float | None]
    passes: int = 1

    def replace(self, **changes: Any) -> Job:
        """The same job with other values of some fields."""
        return msgspec.structs.replace(self, **changes)

    def again(self, passes: int) -> Job:
        """The same case, with `passes` times the draws at once."""
        return self.replace(case=self.case.replace(draws=self.case.draws * passes), passes=passes)


class Result(msgspec.Struct, frozen=True):
    """What running a job gave: evidence by finding, or why there is none.

    Args:
        role: as in the job.
        case: the id of the case.
        evidence: by finding id.
        unreadable: findings for which nothing could be read, with the reason.
        not_offered: findings that need what the backend turned out to lack, with the reason.
        error: what ended the case before its time; empty if nothing did.
        error_kind: what two errors of one cause have in common: an exception's class, a signal, `GIVEN_UP`, …
        seconds: that it took.
        passes: as in the job; 1 where a job gave no answer.
    """

    role: str
    case: str
    evidence: dict[str, Evidence] = {}
    unreadable: dict[str, str] = {}
    not_offered: dict[str, str] = {}
    error: str = ""
    error_kind: str = ""
    seconds: float = 0.0
    passes: int = 1

    def replace(self, **changes: Any) -> Result:
        """The same result with other values of some fields."""
        return msgspec.structs.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        evidence = {text: item.to_json() for text, item in self.evidence.items()}
        return {**msgspec.structs.asdict(self), "evidence": evidence}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of `to_json`.

        Raises:
            ValueError: it is no result.
        """
        return converted(data, cls, decoded)


def run(suite: Suite, backend: Any, job: Job) -> Result:
    """Runs `job` on `backend`: one sampling for all laws, stopped early once a finding is decided broken."""
    started = time.perf_counter()
    evidence: dict[str, Evidence] = {}
    unreadable: dict[str, str] = {}
    not_offered: dict[str, str] = {}
    error = kind = ""
    ids = {text: FindingId.parse(text) for text in job.thresholds}
    asked = suite.asked
    looks = [(text, asked[id.family], id.parameter) for text, id in ids.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a backend warns of is for its own users
        try:
            for sample in suite.sample(job.case, backend, job.case.seed(job.seed, job.role)):
                if first := settled(evidence, job):  # asked when there is more to look at: most cases are one sample
                    for text in _unseen(evidence):
                        unreadable[text] = f"{ids[first].law} is broken here, and ended the case before this was seen"
                        del evidence[text]
                    break
                for text, law, parameter in looks:
                    try:
                        found = law(sample, parameter)
                    except Unreadable as reason:
                        unreadable[text] = str(reason)
                    except NotOffered as reason:
                        not_offered[text] = str(reason)
                    except BackendError:
                        raise
                    except Exception as fault:
                        if not isinstance(law, Hypothesis):
                            raise
                        unreadable[text] = f"keeprate itself failed: {type(fault).__name__}"  # others may hold
                    else:
                        evidence[text] = evidence[text] + found if text in evidence else found
        except BackendError as raised:
            error, kind = str(raised), raised.kind
        except NotOffered as reason:
            not_offered = {text: str(reason) for text in job.thresholds if text not in evidence}
        except Unreadable as reason:
            unreadable |= {text: str(reason) for text in job.thresholds if text not in evidence}
    seconds = round(time.perf_counter() - started, 6)
    return Result(job.role, job.case.id, evidence, unreadable, not_offered, error, kind, seconds, job.passes)


def picture(suite: Suite, backend: Any, job: Job) -> Picture | None:
    """What `job` draws; None where the suite has no picture, or nothing could be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return suite.picture(job.case, backend, job.case.seed(job.seed, job.role))
        except (BackendError, NotOffered, Unreadable):
            return None


def settled(evidence: Mapping[str, Evidence], job: Job) -> str:
    """The first finding that is broken where no draw can tell more, if any: draws decide it, or there is none to."""
    drawn = {text: item for text, item in evidence.items() if not item.is_exact}
    return decided(drawn or evidence, job)


def decided(evidence: Mapping[str, Evidence], job: Job) -> str:
    """The first finding that is broken for good, if any: e-values are valid whenever one looks."""
    thresholds = job.thresholds
    return next(
        (
            text
            for text, item in evidence.items()
            if item.reaches(math.inf if (threshold := thresholds[text]) is None else threshold)
        ),
        "",
    )


def _unseen(evidence: Mapping[str, Evidence]) -> list[str]:
    """Findings of which nothing was seen so far: of the whole case, that would break an exact one, and keep another."""
    return [text for text, item in evidence.items() if not item.n]
