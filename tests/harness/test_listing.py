"""What --write-known writes: causes with all that they would explain, laws by operator, and nothing besides."""

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from keeprate.harness.evidence.check import failed, passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import unjudged
from keeprate.harness.judging.listing import NEW, unlisted
from keeprate.harness.protocol.case import over_all
from keeprate.harness.protocol.suite import load_suite

SUITE = load_suite("dropout")
PROMISES = SUITE.promises("quick")
LEVEL = 1e-9


def judged(broken=(), suspect=(), errors=()):
    """All of a plan, kept but for what begins so."""
    found = []
    for text, promise in PROMISES.items():
        status = "broken" if text.startswith(tuple(broken)) else "error" if text in errors else "kept"
        off = 700 if status == "broken" else 270 if text.startswith(tuple(suspect)) else 0
        evidence = Tally(("kept", "dropped"), (5000 + off, 5000 - off), (0.5, 0.5))
        if not promise.share:
            evidence = failed(9) if status == "broken" else passed(9)
        finding = unjudged(promise, status, "")
        found.append(
            replace(finding, evidence=None if status == "error" else evidence, level=LEVEL * bool(promise.share))
        )
    return found


def together(law, status="kept"):
    """What all findings of a law show together."""
    one = next(finding for finding in judged() if finding.family == law)
    return replace(one, id=str(over_all(law)), op="-", status=status)


def ids(beginning):
    return {text for text in PROMISES if text.startswith(beginning)}


def matched(lines):
    return {text for text in PROMISES if any(fnmatchcase(text, pattern) for pattern, _ in lines)}


def caused(explains, reaches):
    return Cause("wandering", "rate", "It wanders,\nin dropout.", "", tuple(explains), (), frozenset(reaches))


@pytest.mark.parametrize("law", ["calls:", "calls_by_position/", "neighbours:", "spread:"])
def test_a_pattern_is_for_one_law_though_another_begins_alike(law):
    lines = unlisted(judged([min(ids(f"dropout/{law}"))]), (), "keep_rate")
    assert lines == [(f"dropout/{law}*", NEW)]
    assert matched(lines) == ids(f"dropout/{law}")


def test_a_law_with_and_without_a_parameter_gets_both_patterns():
    one, other = (finding for finding in judged(["dropout/calls:"]) if finding.id in sorted(ids("dropout/calls:"))[:2])
    bare = replace(other, id=other.id.replace(other.law, "calls"), status="kept", law="calls")
    assert [pattern for pattern, _ in unlisted([one, bare], (), "")] == ["dropout/calls/*", "dropout/calls:*"]


def test_findings_of_an_exact_law_are_listed_one_by_one():
    one = min(text for text in ids("dropout/outcomes/") if text.endswith("/eager"))
    ended = "dropout/shape/float32/-/-/eager"
    assert set(unlisted(judged([one], errors=[ended]), (), "keep_rate")) == {(one, NEW), (ended, NEW)}


def test_what_there_is_much_evidence_against_is_listed_beside_what_broke_in_the_same_operator():
    findings = judged(["dropout/runs/"], suspect=["dropout/blocks:8", "dropout1d/blocks:8"])
    assert {finding.law for finding in findings if finding.is_suspect} == {"blocks:8"}
    lines = unlisted(findings, (), "keep_rate")
    assert [pattern for pattern, _ in lines] == ["dropout/blocks:*", "dropout/runs/*"]


def test_where_the_law_that_others_rest_on_breaks_without_a_cause_all_that_count_are_listed():
    findings = judged(["dropout/keep_rate/"])
    found = matched(unlisted(findings, (), "keep_rate"))
    assert found == {finding.id for finding in findings if finding.op == "dropout" and finding.effect is not None}


def test_a_cause_is_listed_with_its_sentence_and_all_that_it_would_explain():
    findings = judged(["dropout/keep_rate/float32/p0.3"])
    explains = ids("dropout/keep_rate/float32/p0.3")
    reaches = ids("dropout/keep_rate/float32") | ids("dropout/runs/")
    lines = unlisted(findings, [caused(explains, reaches)], "keep_rate")
    assert {reason for _, reason in lines} == {r"It wanders,\nin dropout."}
    assert [pattern for pattern, _ in lines] == ["dropout/keep_rate/float32/*", "dropout/runs/*"]
    assert matched(lines) == reaches


def test_what_no_cause_explains_is_listed_beside_it():
    findings = judged(["dropout/keep_rate/float32/p0.3", "dropout/calls:"])
    explains = ids("dropout/keep_rate/float32/p0.3")
    lines = unlisted(findings, [caused(explains, explains)], "keep_rate")
    assert ("dropout/calls:*", NEW) in lines
    assert matched(lines) == explains | ids("dropout/calls:")


def test_what_findings_show_together_follows_from_what_is_listed():
    lines = unlisted([*judged(["dropout/calls:"]), together("calls"), together("runs")], (), "keep_rate")
    assert lines == [("dropout/calls:*", NEW), ("-/calls/-/-/-/-", NEW)]


def test_what_is_known_is_not_listed_again():
    findings = [replace(finding, known="long since") for finding in judged(["dropout/runs/"])]
    assert unlisted(findings, (), "keep_rate") == []
