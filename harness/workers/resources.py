"""What a person grants a run: where its cases run, on how many workers, and what one of them may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """What was asked for; what follows from it on this machine is in `limits`.

    Args:
        workers: processes; None for as many as there is room for.
        executor: `local`, or `dask://HOST:PORT` of a cluster's scheduler.
        case_timeout: seconds that loading, or a case, may take; None for the usual ones.
        memory: memory limit per worker, as in 4G; None for its share of the machine.
        device: where the backend computes, one of its `devices`; None for where it does unless told.
    """

    workers: int | None = None
    executor: str = "local"
    case_timeout: float | None = None
    memory: str | None = None
    device: str | None = None


USUAL = Resources()  # unless somebody asks for others
