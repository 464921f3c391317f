"""A verdict: what was decided, readable as text and as public JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.screen import elsewhere, verdict_text

SCHEMA = 1  # the version of the public JSON, described in harness/verdict.schema.json


@dataclass(frozen=True)
class Verdict(Decision):
    """What a run found; iterable over its findings, readable as `str()`. Its fields are those of `Decision`."""

    def __str__(self) -> str:
        return verdict_text(self)

    def to_json(self) -> str:
        """The public JSON, the same for one seed but for what stands under `run`."""
        return json.dumps(self.public(), indent=1, allow_nan=False) + "\n"

    def public(self) -> dict[str, Any]:
        """The public JSON, before it is text."""
        ranks = {finding.id: number for number, finding in enumerate(self.failing, start=1)}
        told = {finding.id for finding in self.leads} | {cause.explains[0] for cause in self.causes}
        return {
            "schema": SCHEMA,
            "backend": self.backend,
            "reference": self.reference,
            "environment": self.environment,
            "profile": self.profile,
            "alpha": self.alpha,
            "seed": self.seed,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "leads": [finding.id for finding in self.leads],
            "watched": [finding.id for finding in self.watched],
            "unseen": self.unseen,
            "left_out": list(self.left_out),
            "mended": [finding.id for group in self.mended for finding in group],
            "headline": self.suite.headline,
            "laws": {
                law.name: {
                    "promise": law.promise,
                    "catches": law.catches,
                    "blind_to": law.blind_to,
                    "source": law.source,
                    "faults": dict(Counter(cause.kind for cause in self.suite.causes if law.name in cause.laws)),
                }
                for law in self.laws.values()
            },
            "faults": dict(Counter(cause.kind for cause in self.suite.causes)),
            "causes": [cause.to_json() for cause in self.causes],
            "resembles": [
                {
                    "kind": cause.kind,
                    "says": cause.says,
                    "defect": cause.defect,
                    "laws": sorted(cause.laws & self.laws.keys()),
                }
                for _, cause in self.likely_causes
            ],
            "pictures": dict(self.pictures),
            "findings": [
                {
                    **self._described(finding, told),
                    "rank": ranks.get(finding.id),
                    "explained_by": cause.id if (cause := self.explained_by.get(finding.id)) else None,
                }
                for finding in self.findings
            ],
            "run": self.run,
        }

    def _described(self, finding: Finding, told: Collection[str]) -> dict[str, Any]:
        """A finding as JSON values; of one that is told in full also how the same law fares beside it."""
        values = finding.to_json()
        places = elsewhere(finding, self.findings) if finding.id in told else ""
        return values | {"rows": [*values["rows"], ["elsewhere", places]]} if places else values
