"""The verdict of a review: per criterion what was found, and where in the journal it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from kernel.jsontypes import JsonObject

FindingStatus: TypeAlias = Literal["passed", "failed", "unjudged"]
_NOTE_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """`evidence` are the numbers of the journal entries that show it; `note` says it in words."""

    criterion: str
    status: FindingStatus
    evidence: tuple[int, ...] = ()
    note: str = ""

    def json(self) -> JsonObject:
        return {
            "criterion": self.criterion,
            "status": self.status,
            "evidence": list(self.evidence),
            "note": self.note[:_NOTE_CHARS_MAX],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passed` and `score` (of the criteria a program decided, 0 to 1) are None where there were none."""

    passed: bool | None
    score: float | None
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: tuple[Finding, ...]) -> Verdict:
        decided = [finding for finding in findings if finding.status != "unjudged"]
        if not decided:
            return cls(None, None, findings)
        passed = sum(finding.status == "passed" for finding in decided)
        return cls(passed == len(decided), passed / len(decided), findings)

    @classmethod
    def read(cls, payload: JsonObject) -> Verdict:
        """Back from `json`."""
        data = cast("Mapping[str, Any]", payload)
        findings = tuple(
            Finding(one["criterion"], one["status"], tuple(one["evidence"]), one["note"]) for one in data["findings"]
        )
        return cls(data["passed"], data["score"], findings)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What failed, in words an agent can act on."""
        failed = (finding for finding in self.findings if finding.status == "failed")
        return tuple(f"{finding.criterion}: {finding.note}" for finding in failed)

    def json(self) -> JsonObject:
        return {
            "passed": self.passed,
            "score": self.score,
            "findings": [finding.json() for finding in self.findings],
            "gaps": list(self.gaps),
        }
