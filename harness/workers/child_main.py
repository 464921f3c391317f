"""The worker's own process: takes one job at a time from its standard input, answers on its standard output.

Started as `python -P -m keeprate.harness.workers.child_main LIFELINE`, or forked by `fork_main` from a process that has
loaded nothing foreign, so that no framework finds itself half initialised. The backend's standard input is empty, and
what it prints goes nowhere. What it replaces in the judge, and where it goes, is put back after every job
(docs/threats.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import threading
import traceback
from typing import Any

import msgspec
import numpy as np

from keeprate.harness.errors import KeeprateError, NoVerdictError
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.protocol.backend import load_backend, offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import Job, Result, picture, run
from keeprate.harness.protocol.orders import in_order
from keeprate.harness.protocol.suite import Suite, load_suite
from keeprate.harness.workers.integrity import Integrity


class Prepared:
    """What the workers of a run have in common, with nothing foreign beside it: the suite and the reference."""

    def __init__(self, suite: Suite, *, alone: bool) -> None:
        self.suite, self.reference = suite, None
        if suite.reference and not alone:
            import scipy.special  # noqa: F401 - which SciPy would load later, from under the backend's hands

            self.reference = load_backend(suite.reference, suite)
            case = next(iter(suite.plan("quick")))
            suite.sample(case, self.reference, 0)  # not begun: it only loads what it needs
        self.integrity = Integrity(_judges(suite, self.reference))


class _Loaded:
    """The suite, the backend and the reference, once they are loaded."""

    def __init__(self, prepared: Prepared, setup: dict[str, Any]) -> None:
        self.suite, self._integrity = prepared.suite, prepared.integrity
        self._home = os.open(".", os.O_RDONLY)  # leads back there even when its name is gone
        self._depth = sys.getrecursionlimit()
        reference, named = prepared.reference, setup["backend"]
        self._device = setup["device"]
        self._sides = {
            "backend": reference if named is None else load_backend(named, self.suite, self._device, reference),
            "reference": reference,
        }
        self.offer = offer(self._sides["backend"], setup["names"])
        self.reference = offer(reference, setup["names"]) if reference else None
        if replaced := self._put_back():
            raise NoVerdictError(f"backend {named}: loading it replaced {replaced}, which the judge uses")

    def check(self) -> dict[str, Any]:
        checks = list(self.suite.check(self._sides["backend"]))
        if replaced := self._put_back():
            checks.append(AdapterCheck("leaves the judge alone", f"it replaced {replaced}, which the judge uses"))
        return {"checks": msgspec.to_builtins(checks)}

    def calls(self, names: list[str] | None) -> dict[str, str]:
        """What the suite's calls give in an order."""
        found = in_order(self.suite.calls(self._sides["backend"]), names)
        self._put_back()
        return found

    def run(self, job: Job) -> Result:
        """What a job gives; an error where the judge itself fails in it, or was tampered with."""
        try:
            with np.errstate():
                result = run(self.suite, self._sides[job.role], job)
        except Exception as error:  # noqa: BLE001 - in a process that foreign code may have changed, anything may be raised
            traceback.print_exc()
            failed = f"keeprate itself failed in this case: {_brief(error)}"
            result = Result(job.role, job.case.id, error=failed, error_kind="a fault of keeprate")
        if replaced := self._put_back():
            tampered = f"the backend replaced {replaced}, which the judge uses"
            result = Result(job.role, job.case.id, error=tampered, error_kind="tampering")
        return result

    def lost(self) -> str:
        """Why the device that was asked for can't be used any more; empty if it can, or none was."""
        return self.suite.lost(self._sides["backend"]) if self._device is not None else ""

    def held(self) -> int:
        """Bytes of memory that the backend has held on the device that was asked for, at most; 0 if none was."""
        return self.suite.held(self._sides["backend"]) if self._device is not None else 0

    def picture(self, job: Job) -> Picture | None:
        """What a job draws."""
        drawn = picture(self.suite, self._sides[job.role], job)
        self._put_back()
        return drawn

    def _put_back(self) -> str:
        with contextlib.suppress(OSError):  # the backend closed it: no case depends on where it runs
            os.fchdir(self._home)
        sys.setrecursionlimit(self._depth)
        return self._integrity.put_back()


def _judges(suite: Suite, reference: Any) -> list[str]:
    """The modules whose code judges: ours, those of the suite and of its laws, and the reference's adapter."""
    theirs = {cls.__module__ for cls in type(suite).__mro__[:-1]} | {law.function.__module__ for law in suite.laws}
    packages = {"keeprate.harness", "keeprate.specs", *(name.rpartition(".")[0] or name for name in theirs)}
    own = tuple(f"{package}." for package in packages)
    found = sys.modules.items()
    return [name for name, module in found if f"{name}.".startswith(own) or (reference and module is reference)]


def _brief(error: Exception) -> str:
    """What was raised, and the last line of it that is ours or the suite's."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1][:200]
    return f"{what} ({os.path.basename(last.filename)}, line {last.lineno})"


def main() -> None:
    """Answers every line of JSON with one, until the input ends."""
    end_with_parent(int(sys.argv[1]))
    find_own_files()
    answer_all(None)


def find_own_files() -> None:
    """Has modules looked for in the folder of the run too."""
    with contextlib.suppress(FileNotFoundError):  # a backend has removed it
        sys.path.append(os.getcwd())  # last: a file of the user's must not hide a module that the judge needs


def answer_all(prepared: Prepared | None) -> None:
    """The same, in a process that may be prepared by now."""
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", closefd=False)  # it ends with the process, and no sooner
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    process = os.getpid()
    loaded: _Loaded | None = None
    for line in source:
        message = json.loads(line)
        try:
            if loaded is None:
                prepared = prepared or Prepared(load_suite(message["suite"]), alone=message["alone"])
                loaded = _Loaded(prepared, message)
                answer: dict[str, Any] = msgspec.to_builtins({"offer": loaded.offer, "reference": loaded.reference})
            elif "check" in message:
                answer = loaded.check()
            elif "in_order" in message:
                answer = {"in_order": loaded.calls(message["in_order"])}
            elif "picture" in message:
                answer = {"picture": msgspec.to_builtins(loaded.picture(converted(message["picture"], Job)))}
            else:
                result = loaded.run(converted(message, Job)).to_json()
                answer = {"result": result, "lost": loaded.lost(), "held": loaded.held()}
        except KeeprateError as error:
            answer = {"refused": str(error), "code": error.exit_code}
        except Exception:  # noqa: BLE001 - whatever is left is a fault of ours: the parent shows the whole traceback
            answer = {"fault": traceback.format_exc()}
        if os.getpid() != process:  # a copy of this process, which the backend made and let go on
            os._exit(0)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def end_with_parent(lifeline: int) -> None:
    """Has this process and what it starts ended once the parent is gone, even in the middle of foreign code.

    The parent holds the other end of the pipe. When that closes, this group gets a signal that nobody can ignore: from
    the system where it lets us choose the signal, and elsewhere from a thread, which foreign code can keep waiting. A
    parent that is gone by now is seen at once.
    """
    if not hasattr(fcntl, "F_SETSIG"):
        threading.Thread(target=_end_at_end_of, args=(lifeline,), daemon=True).start()
        return
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)  # in place of SIGIO
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgid(0))
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    gone = select.poll()
    gone.register(lifeline, select.POLLHUP)
    if gone.poll(0):
        os.killpg(0, signal.SIGKILL)


def _end_at_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)  # nobody ever writes to it
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
