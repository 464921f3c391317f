"""Where the cases of a command run: in child processes of this machine, or on a cluster."""

from __future__ import annotations

import re

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.gate import runner_for
from keeprate.harness.judging.request import Request
from keeprate.harness.workers.cluster import SCHEME, Cluster
from keeprate.harness.workers.limits import limits
from keeprate.harness.workers.pool import Children


def runner_of(
    request: Request, executor: str, workers: int | None, case_timeout: float | None, memory: str | None
) -> Children | Cluster:
    """Child processes of this machine, or those of a cluster.

    Raises:
        UsageError: there is no such executor, or no such cluster, or a limit is none.
    """
    if executor == "local":
        return runner_for(request, workers, case_timeout=case_timeout, memory=memory)
    if not re.fullmatch(rf"{SCHEME}[^\s/]+:\d+", executor):
        raise UsageError(f"executor '{executor}' is neither local nor dask://HOST:PORT")
    if workers is not None:
        raise UsageError("-n is for --executor local: a cluster has the workers that it has")
    limits(1, case_timeout, memory)  # refused here, and not by each of the cluster's machines
    return Cluster(executor, request.backend, request.suite_name, request.names, case_timeout, memory)
