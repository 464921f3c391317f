"""Whatever runs jobs, as those above the workers see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import Job, Result


class Runner(Protocol):
    """Whatever runs jobs; who opened it closes it."""

    isolated: bool
    count: int

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does, if the suite has one."""

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone."""

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Results in whatever order they come."""

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The same of jobs that are no part of the plan: no ledger gets them."""

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown."""
