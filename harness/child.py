"""The worker's own process: takes one job at a time from its standard input, answers on its standard output.

Started as `python -P -m harness.child LIFELINE`, never forked, so that no framework finds itself half initialised. The
backend cannot get at the pipe: its standard input is empty, and whatever it prints goes where the errors go.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import Any

from harness.backend import load_backend, offer
from harness.engine import Job, picture, run
from harness.errors import KeeprateError
from harness.suite import Suite, load_suite


def main() -> None:
    """Answers every line of JSON with one, until the input ends."""
    _end_with_parent(int(sys.argv[1]))
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.path.append(os.getcwd())  # last: a folder of the user's that is named `specs` must not hide ours
    loaded: dict[str, Any] = {}  # by role: the backend and the reference
    suite: Suite | None = None
    for line in source:
        message = json.loads(line)
        try:
            if suite is None:
                suite = load_suite(message["suite"])
                loaded["backend"] = load_backend(message["backend"])
                if suite.reference:
                    loaded["reference"] = load_backend(suite.reference)
                answer: dict[str, Any] = {"offer": offer(loaded["backend"], message["names"]).to_json()}
                answer["reference"] = (
                    offer(loaded["reference"], message["names"]).to_json() if suite.reference else None
                )
            elif "check" in message:
                answer = {"looks": [asdict(look) for look in suite.check(loaded["backend"])]}
            elif "picture" in message:
                job = Job.from_json(message["picture"])
                answer = {"lines": picture(suite, loaded[job.role], job)}
            else:
                job = Job.from_json(message)
                answer = {"result": run(suite, loaded[job.role], job).to_json()}
        except KeeprateError as error:
            answer = {"refused": str(error), "code": error.exit_code}
        except Exception:  # noqa: BLE001 - whatever is left is a fault of ours: the parent shows the whole traceback
            answer = {"fault": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _end_with_parent(lifeline: int) -> None:
    """Has the system end this process and what it starts once the parent is gone, even in the middle of foreign code.

    The parent holds the other end of the pipe. When that closes, SIGIO goes to this group; nobody catches it.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgid(0))
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


if __name__ == "__main__":
    main()
