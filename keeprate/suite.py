"""For authors of suites: a family of operators to judge, its laws, and the evidence that they return.

A suite is a subclass of `Suite`; docs/new-suite.md goes from nothing to a verdict.
"""

from keeprate.harness.errors import BackendError, NotOffered, NoVerdictError, Unreadable, UsageError
from keeprate.harness.evidence.account import ENOUGH, NEVER, Account
from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.evidence.counterexample import Counterexample, Value
from keeprate.harness.evidence.kinds import Count, Evidence, Interval, Statistic, evidence_kind
from keeprate.harness.evidence.likelihood import draws_to_detect
from keeprate.harness.evidence.moments import UNIT, Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.seen import Seen, Told
from keeprate.harness.protocol.backend import load_backend, name_of
from keeprate.harness.protocol.case import ANY, Case, FindingId, shape_text
from keeprate.harness.protocol.description import AdapterCheck, Cause, Defect, Picture
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.protocol.law import Law, law
from keeprate.harness.protocol.suite import PROFILES, Suite, load_suite
from keeprate.harness.untrusted_text import briefly, first_line, shown

__all__ = [
    "ANY",
    "ENOUGH",
    "NEVER",
    "PROFILES",
    "UNIT",
    "Account",
    "AdapterCheck",
    "BackendError",
    "Case",
    "Cause",
    "Check",
    "Count",
    "Counterexample",
    "Defect",
    "Evidence",
    "Finding",
    "FindingId",
    "Hypothesis",
    "Interval",
    "Law",
    "Moments",
    "NoVerdictError",
    "NotOffered",
    "Picture",
    "Seen",
    "Statistic",
    "Suite",
    "Tally",
    "Told",
    "Unreadable",
    "UsageError",
    "Value",
    "briefly",
    "draws_to_detect",
    "evidence_kind",
    "failed",
    "first_line",
    "law",
    "load_backend",
    "load_suite",
    "name_of",
    "passed",
    "shape_text",
    "shown",
]
