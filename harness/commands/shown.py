"""Whether a script shows a fault: it is run on its own, and what it prints held against what the reference prints."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import TemporaryDirectory

from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.suite import Suite

TIMES = 2  # that it must show it
SEEDS = 6  # of the reference
WIDER = 2  # ranges of what the reference prints, on either side: six standard deviations of a normal number
ROUNDED = 1.2e-7  # of a number: float32's
SECONDS = 120.0  # that a script may take
DEATHS = ("code ", "SIG", "signal ")  # how a result tells that its process ended
LAST = "the end of the script"
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def beside(suite: Suite, case: Case, law: str) -> list[list[str]] | None:
    """The lines that the reference prints for several seeds, in this process.

    Returns:
        None where the suite has no reference; no lines where it can't be asked for these.
    """
    if not suite.reference:
        return None
    reference = load_backend(suite.reference, suite)
    alike = suite.for_reference(case)
    found = []
    for seed in range(SEEDS):
        names: dict[str, object] = {}
        with redirect_stdout(io.StringIO()) as out:
            try:
                exec(suite.demonstrate(alike, law, seed), names)  # noqa: S102 - of the suite's own text
                names["show"](reference)  # type: ignore[operator]
            except Exception:  # noqa: BLE001 - a call that the script was not made for
                return []
        found.append(out.getvalue().splitlines())
    return found


def departure(script: str, reference: Sequence[Sequence[str]] | None, raised: str) -> str:
    """What a script does each time that it is run, and the reference doesn't, as a verb's phrase; empty if nothing.

    Args:
        script: its text.
        reference: lines that the reference prints, for several seeds; None where there is none: any line will do.
        raised: the class of the exception that may end it, which then shows the fault, or the exit code or signal that
            ended the judged process, so that any such end shows it; empty for none.
    """
    found = ""
    for _ in range(TIMES):
        lines, ended = _run(script)
        line = next(iter(lines if reference is None else departing(lines, reference)), "")
        if not line and isinstance(ended, str) and raised and _class_of(ended) == raised:
            line = ended
        found = f"shows: {line}" if line else ""
        if not line and isinstance(ended, int) and raised.startswith(DEATHS):
            found = _ending(ended)
        if not found:
            return ""
    return found


def departing(lines: Sequence[str], reference: Sequence[Sequence[str]]) -> Iterator[str]:
    """Those of `lines` that say something else than the reference's, or a number that is far from all of its own."""
    if not reference:
        return
    mine, theirs = [_masked(lines), *map(_masked, reference)][:2]
    known = {text for each in reference for text in _masked(each)}
    for how, first, last, other, _ in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        for number in range(first, last):
            if how != "equal":
                if mine[number] not in known:
                    yield lines[number]
                continue
            at = other + number - first
            alike = [each[at] for each in reference if len(each) > at and _masked([each[at]]) == [mine[number]]]
            if any(_is_far(*each) for each in zip(_numbers(lines[number]), *map(_numbers, alike), strict=True)):
                yield lines[number]


def _is_far(seen: float, *others: float) -> bool:
    low, high = min(others), max(others)
    slack = max(WIDER * (high - low), ROUNDED * max(abs(low), abs(high)))
    return not low - slack <= seen <= high + slack


def _masked(lines: Sequence[str]) -> list[str]:
    return [NUMBER.sub("#", line) for line in lines]


def _numbers(line: str) -> list[float]:
    return [float(text.replace(",", "")) for text in NUMBER.findall(line)]


def _class_of(ended: str) -> str:
    return ended.partition(":")[0].rpartition(".")[2]


def _ending(code: int) -> str:
    """How a process ended before its time, by the code that it left."""
    if code < 0:
        known = -code in set(signal.Signals)  # real-time signals have no name
        return f"is ended by {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"ends with exit code {code}{'' if code else ' before it has shown all'}"


def _run(script: str) -> tuple[list[str], str | int]:
    """What a script prints in a fresh process and an empty folder, line by line, and how it ended.

    Returns:
        How it ended is the exception's last line; an exit code, below zero a signal, where no exception is told; or
        empty, where it came to its end, or took too long.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with TemporaryDirectory() as folder:
        path = Path(folder, "shown.py")
        path.write_text(f"{script}\nprint({LAST!r})\n", encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(path)],
                cwd=folder,
                env={**clean, "PYTHONUTF8": "1"},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [], ""
    lines, told = done.stdout.splitlines(), done.stderr.strip().splitlines()
    if lines and lines[-1] == LAST:
        return lines[:-1], ""
    return lines, told[-1] if "Traceback (most recent call last):" in told else done.returncode
