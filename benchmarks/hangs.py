"""How soon a hang is noticed: seconds from a case's limit to its verdict, for each way to hang in tests/faults.

    python benchmarks/hangs.py [--limit 3]

A case that hangs is ended at the limit; what is shown is the time beyond it, in which its worker and all that it has
started are ended. On a busy machine it is longer: a case is not charged for the time in which others have the cores.
"""

import argparse
import inspect
import itertools
import time
from pathlib import Path

from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.resources import Resources

TESTS = Path(__file__).parents[1] / "tests"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=3.0)
    limit = parser.parse_args().limit
    path = TESTS / "faults" / "hangs.py"
    module = find(str(path), group="", kind="module")
    late = []
    for name, item in vars(module).items():
        if (
            inspect.isclass(item)
            and item.__module__ == module.__name__
            and "fault" in vars(item)
            and "gave no answer" in item.says
        ):
            request = ask(f"{path}:{name}", suite=str(TESTS / "harness" / "coin.py"), profile="quick")
            times = [time.monotonic()]
            with open_runner(request, Resources(workers=1, case_timeout=limit)) as runner:
                answer(request, runner, lambda done, total, times=times: times.append(time.monotonic()))
            late.append(max(later - earlier for earlier, later in itertools.pairwise(times)) - limit)
            print(f"{name:<24}{late[-1]:6.2f} s", flush=True)
    print(f"{len(late)} hangs, noticed at most {max(late):.2f} s after their limit of {limit:g} s")


if __name__ == "__main__":
    main()
