"""What a verdict's JSON says of itself, recomputed from its findings: nobody's word is taken for it.

What contradicts the findings is refused. What can be told from them is told anew, the command lines above all: a line
that a person is to paste is never copied from a file.
"""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.decision import WATCHED, Unasked, told, verdict_of
from keeprate.harness.judging.finding import BAD, WORTH_WATCHING, ended
from keeprate.harness.judging.request import command_line, python_line
from keeprate.harness.protocol.case import ANY, FindingId, parameters_text, shape_text

ROUNDED = 1e-5  # of a number that was rounded for people, at most
NAMES = r"[\w.:+-]+(,[\w.:+-]+)*"
VALUES = {
    "--dtypes": NAMES,
    "--case-timeout": r"\d+(\.\d+)?(e[+-]?\d+)?",
    "--memory": r"\d+(\.\d+)?[KMGT]?(i?B)?",
    "--device": r"\w[\w.:]*",
}


def recomputed(document: dict[str, Any]) -> dict[str, Any]:
    """A verdict that matches its schema, with all that follows from its findings as it does follow.

    Raises:
        ValueError: it contradicts itself; the message says in what.
    """
    findings = document["findings"]
    by_id = {finding["id"]: finding for finding in findings}
    if len(by_id) < len(findings):
        twice = next(one["id"] for number, one in enumerate(findings) if by_id[one["id"]] is not findings[number])
        raise ValueError(f"{twice} is there twice")
    for finding in findings:
        for wrong in (*_misnamed(finding), *_misjudged(finding, document["alpha"])):
            raise ValueError(f"{finding['id']}: {wrong}")
    spent = sum(10.0 ** -one["threshold_log10_e"] for one in findings if one["threshold_log10_e"] is not None)
    if spent > document["alpha"] * (1 + ROUNDED) ** 3:
        raise ValueError(f"its thresholds spend {spent:.3g} of an error budget of {document['alpha']:g}")
    for wrong in (*_misjudged_as_a_whole(document), *_misordered(document), *_misexplained(document)):
        raise ValueError(wrong)
    names = by_id.keys()
    for key in ("watched", "mended", "pictures"):
        if strange := [text for text in document.get(key, ()) if text not in names]:
            raise ValueError(f"'{key}' names {strange[0]}, which it has no finding of")
    suspects = {one["id"]: part for one in findings if one["status"] == "kept" and (part := _part(one)) is not None}
    watched = sorted((text for text in suspects if suspects[text] >= WORTH_WATCHING), key=lambda text: -suspects[text])
    return {
        **document,
        "sentence": _sentence(document),
        "watched": watched[:WATCHED],
        "mended": [text for text in document["mended"] if _is_mended(by_id[text])],
        "findings": [{**finding, "replay": _replay(document, finding)} for finding in findings],
    }


def _misnamed(finding: Mapping[str, Any]) -> Iterator[str]:
    """What of a finding's fields is otherwise than its id says."""
    try:
        id = FindingId.parse(finding["id"])
    except UsageError as error:  # the schema has let it pass
        yield str(error)
        return
    parameters = finding["parameters"]
    said = {
        "op": finding["op"] == id.op,
        "law": finding["law"] == id.law,
        "dtype": finding["dtype"] == id.dtype,
        "context": finding["context"] == id.context,
        "parameters": id.parameters == (ANY if parameters is None else parameters_text(parameters)),
        "strides": (finding["strides"] or "") == id.shape.partition(":")[2],
        "shape": finding["shape"] is None or shape_text(tuple(finding["shape"])) == id.shape.partition(":")[0],
    }
    yield from (f"its '{key}' is another than its id says" for key, agrees in said.items() if not agrees)


def _misjudged(finding: Mapping[str, Any], alpha: float) -> Iterator[str]:
    """Where the status of a finding is not that of its numbers."""
    reached, threshold, detail = finding["log10_e"], finding["threshold_log10_e"], finding["detail"] or {}
    if finding["status"] not in ("kept", "broken"):
        return
    if threshold is None:
        wrong = detail["wrong"] > 0 or not detail["checked"]
        if wrong != (finding["status"] == "broken"):
            yield f"it is {finding['status']}, with {detail['wrong']:,} of {detail['checked']:,} wrong"
        return
    if threshold < -math.log10(alpha) * (1 - ROUNDED):
        yield f"its threshold is {threshold:g}, below what an error budget of {alpha:g} allows"
    slack = ROUNDED * max(abs(reached), threshold)
    if reached > threshold + slack if finding["status"] == "kept" else reached < threshold - slack:
        yield f"it is {finding['status']}, with evidence of {reached:g} where {threshold:g} breaks it"


def _misjudged_as_a_whole(document: Mapping[str, Any]) -> Iterator[str]:
    statuses = [finding["status"] for finding in document["findings"]]
    verdict = verdict_of(statuses, bool(document["reference"]["failures"]), len(_failing(document)))
    if verdict != document["verdict"]:
        yield f"it says '{document['verdict']}' where its findings say '{verdict}'"
    if "error" in document["run"] and document["findings"]:
        yield "its run could not begin, and has findings"


def _misordered(document: Mapping[str, Any]) -> Iterator[str]:
    """Where ranks and leads are not those of what failed, each law's findings one after another."""
    failing = _failing(document)
    ranks = sorted(finding["rank"] or 0 for finding in failing)
    if ranks != list(range(1, len(failing) + 1)) or any(
        finding["rank"] is not None for finding in document["findings"] if not _fails(finding)
    ):
        yield "the ranks of its findings are not those of what failed"
        return
    leads: dict[str, str] = {}
    for finding in sorted(failing, key=lambda one: int(one["rank"])):
        leads.setdefault(finding["law"].partition(":")[0], finding["id"])
    if document["leads"] != list(leads.values()):
        yield "'leads' are not the first findings of the laws that failed"


def _misexplained(document: Mapping[str, Any]) -> Iterator[str]:
    """Where causes explain what didn't fail, or findings name another cause than explains them."""
    failing = {finding["id"] for finding in _failing(document)}
    causes: dict[str, str] = {}
    for cause in document.get("causes", ()):
        for text in cause["explains"]:
            if text not in failing or causes.setdefault(text, cause["id"]) != cause["id"]:
                yield f"cause {cause['id']} explains {text}, which did not fail or has another cause"
    for finding in document["findings"]:
        if finding.get("explained_by") != causes.get(finding["id"]):
            yield f"{finding['id']}: its cause is another than the one that explains it"


def _fails(finding: Mapping[str, Any]) -> bool:
    return finding["status"] in BAD and finding["known"] is None


def _failing(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in document["findings"] if _fails(finding)]


def _part(finding: Mapping[str, Any]) -> float | None:
    """Its evidence as a part of what breaks it; None where no e-value decides."""
    threshold = finding["threshold_log10_e"]
    return None if threshold is None else float(finding["log10_e"] / threshold)


def _is_mended(finding: Mapping[str, Any]) -> bool:
    return finding["known"] is not None and finding["status"] == "kept"


def _sentence(document: Mapping[str, Any]) -> str:
    statuses = [finding["status"] for finding in document["findings"]]
    failing = len(_failing(document))
    failed, unseen = bool(document["reference"]["failures"]), document.get("unseen", 0)
    ledger = document.get("ledger", {})
    return told(
        document["backend"]["name"],
        statuses,
        failing,
        failed=failed,
        unseen=unseen,
        waiting=sum(ledger.get("waiting", {}).values()),
        left_out=document.get("left_out", ()),
        unasked=[Unasked(one["op"], tuple(one["dtypes"]), one["whole"]) for one in ledger.get("unasked", ())],
    )


def _replay(document: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """The line that runs a finding again, built here; of the file's own, only values that can't be more than that."""
    if not document["backend"]["isolated"]:
        device = re.search(rf"device='({VALUES['--device']})'", finding["replay"])
        where = device[1] if device else None
        return python_line(document["seed"], document["profile"], document["alpha"], device=where)
    given = _options(finding["replay"])
    seconds = given.get("--case-timeout")
    return command_line(
        "" if finding["op"] == ANY else finding["id"],
        backend=given.get("--backend") or document["backend"]["name"],
        seed=document["seed"],
        profile=document["profile"],
        alpha=document["alpha"],
        dtypes=given.get("--dtypes", ""),
        suite=given.get("--suite", ""),
        case_timeout=None if seconds is None else float(seconds),
        memory=given.get("--memory"),
        device=given.get("--device"),
        ended=ended(finding["status"], finding["detail"]),
    )


def _options(line: str) -> dict[str, str]:
    """Options of a command line that are of this kind, each quoted whole once it is shown; nothing else of it."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is never closed
        return {}
    found = dict(itertools.pairwise(words))
    named = {name: found[name] for name in ("--backend", "--suite") if found.get(name, "-")[:1] != "-"}
    return named | {name: text for name, how in VALUES.items() if re.fullmatch(how, text := found.get(name, ""))}
