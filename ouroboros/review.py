"""Review: every executable criterion is carried out, and the finding names its journal entries.

Guarantees: no criterion passes but by a fact: a file looked at, a command's exit code, the output
checked against text, pattern or schema. Files and commands go through the gate as syscalls of the
owner, so each stands in the journal; one that is refused or cannot be decided has failed, with the
refusal as its note. A sentence that no program can decide is `unjudged` and counts for nothing:
agreement in words between the criterion and the agent's own report is no evidence.
What this does not do: judge whether the criteria were the right ones.

Source: RFC-0009.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import anyio

from kernel.errors import Invalid, JournalDown, OxiosError, QueueFull, Unavailable
from kernel.ids import Principal, RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import Draft, Entry
from kernel.jsontypes import JsonValue
from kernel.pattern import finds
from kernel.syscalls.declare import ToolResult
from ouroboros.criteria import Criterion, parse_criterion
from ouroboros.judge import Judge
from ouroboros.schema import json_of, schema_gaps
from ouroboros.seed import Seed
from ouroboros.seedbook import read_stream
from ouroboros.verdict import Finding, Verdict

VERDICT: Final = "review.verdict"
SCHEMA_CRITERION: Final = "output matches schema"
EXEC: Final = "exec"
LOOK: Final = "look"
EVIDENCE_WAIT_S: Final = 10.0
_CALL_ENDS: Final = frozenset({"call.outcome", "call.denied", "call.invalid"})
_SHELL_SIGNS: Final = frozenset("|&;<>()$`*?[]{}~#!\n\\")
_NOTE_CHARS_MAX: Final = 300


class Caller(Protocol):
    """A handle of the owner: `kernel.handle.facade.KernelHandle` is the one."""

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
        """Raises: OxiosError."""
        ...


@dataclass(slots=True)
class _Evidence:
    """Hears how the owner's calls in one stream ended, in order."""

    principal: Principal
    stream: str
    calls: int = 0
    seqs: list[int] = field(default_factory=list[int])
    arrived: anyio.Event = field(default_factory=anyio.Event)

    def hear(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.stream == self.stream and entry.principal == self.principal and entry.kind in _CALL_ENDS:
                self.seqs.append(entry.seq)
                self.arrived.set()

    async def settled(self) -> None:
        """Wait until each call's end is committed. Raises: Unavailable, where that takes too long."""
        with anyio.move_on_after(EVIDENCE_WAIT_S):
            while len(self.seqs) < self.calls:
                self.arrived = anyio.Event()
                await self.arrived.wait()
            return
        raise Unavailable("the review's calls did not reach the journal", remedy="look at `oxios doctor`")


@dataclass(frozen=True, slots=True)
class Review:
    """The review of one run's work."""

    journal: Appender
    handle: Caller
    owner: Principal
    run: RunId
    read_only: bool = False
    """The workspace may not be written, so commands must not ask for it."""
    judge: Judge | None = None
    """Decides what no program decides, over what the journal shows."""

    async def verdict(self, seed: Seed, output: str) -> Verdict:
        """Check every criterion, in order, and record the verdict in the run's stream.

        Raises: JournalDown, Unavailable (there is no record, so there is no verdict).
        """
        evidence = _Evidence(self.owner, self.run)
        end = self.journal.subscribe(evidence.hear)
        try:
            judged = [await self._one(criterion, seed, output, evidence) for criterion in criteria_of(seed)]
            await evidence.settled()
        finally:
            end()
        spoken = await self._seq_of_output()
        findings = tuple(
            replace(finding, evidence=tuple(evidence.seqs[part]) or (spoken if about_output else ()))
            for finding, part, about_output in judged
        )
        verdict = Verdict.of(await self._judged(seed, findings))
        await self.journal.append(Draft(self.owner, self.run, VERDICT, verdict.json()))
        return verdict

    async def _judged(self, seed: Seed, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The same findings, those that no program decided judged where somebody is there to judge."""
        left = [place for place, finding in enumerate(findings) if finding.status == "unjudged"]
        if self.judge is None or not left:
            return findings
        entries = await read_stream(self.journal, self.run)
        judged = await self.judge.findings(seed.goal, [findings[place].criterion for place in left], entries)
        by_place = dict(zip(left, judged, strict=True))
        return tuple(by_place.get(place, finding) for place, finding in enumerate(findings))

    async def _one(
        self, criterion: Criterion, seed: Seed, output: str, evidence: _Evidence
    ) -> tuple[Finding, slice, bool]:
        first = evidence.calls
        passed, note = await self._decide(criterion, seed, output, evidence)
        status = "unjudged" if passed is None else "passed" if passed else "failed"
        about_output = criterion.kind in {"output_contains", "output_matches", "schema"}
        return Finding(criterion.text, status, note=note), slice(first, evidence.calls), about_output

    async def _decide(
        self, criterion: Criterion, seed: Seed, output: str, evidence: _Evidence
    ) -> tuple[bool | None, str]:
        match criterion.kind:
            case "text":
                return None, "no program can decide this; a person has to"
            case "output_contains":
                found = criterion.wanted in output
                return found, f"the output {'contains' if found else 'does not contain'} it"
            case "output_matches":
                found = finds(criterion.wanted, output)
                return found, f"the output {'matches' if found else 'does not match'}"
            case "schema":
                return _fits(seed.output_schema or {}, output)
            case _:
                return await self._decide_by_call(criterion, evidence)

    async def _decide_by_call(self, criterion: Criterion, evidence: _Evidence) -> tuple[bool, str]:
        name, args = _call_of(criterion)
        if name == EXEC and self.read_only:
            args["read_only"] = True
        evidence.calls += 1
        try:
            result = await self.handle.call(name, args)
        except (JournalDown, QueueFull):
            raise
        except OxiosError as error:
            return False, f"could not be checked: {error.explain()}"
        return _file_finding(criterion, result) if name == LOOK else _command_finding(criterion, result)

    async def _seq_of_output(self) -> tuple[int, ...]:
        ends = await self.journal.read(stream=self.run, kind="run.finished")
        return (ends[-1].seq,) if ends else ()


def criteria_of(seed: Seed) -> tuple[Criterion, ...]:
    """The seed's criteria; an output schema asks to be matched whether or not one of them says so."""
    criteria = tuple(parse_criterion(text) for text in seed.criteria)
    if seed.output_schema is not None and all(criterion.kind != "schema" for criterion in criteria):
        return (*criteria, parse_criterion(SCHEMA_CRITERION))
    return criteria


def needs_review(seed: Seed) -> bool:
    return bool(criteria_of(seed))


def _call_of(criterion: Criterion) -> tuple[str, dict[str, JsonValue]]:
    if criterion.kind.startswith("command_"):
        return EXEC, exec_args(criterion.subject)
    args: dict[str, JsonValue] = {"path": criterion.subject}
    if criterion.wanted:
        args["contains" if criterion.kind == "file_contains" else "matches"] = criterion.wanted
    return LOOK, args


def exec_args(command: str) -> dict[str, JsonValue]:
    """Structured where the line is plain words: that needs less authority than a shell."""
    try:
        words = shlex.split(command) if _SHELL_SIGNS.isdisjoint(command) else []
    except ValueError:  # An open quote: the shell shall say so in its own words.
        words = []
    if not words or "=" in words[0]:
        return {"command": command}
    return {"argv": list[JsonValue](words)}


def _file_finding(criterion: Criterion, result: ToolResult) -> tuple[bool, str]:
    kind = result.data.get("kind")
    match criterion.kind:
        case "file_exists":
            return kind in {"file", "directory"}, result.text
        case "file_absent":
            return kind == "absent", result.text
        case _:
            return bool(result.data.get("found")), result.text


def _command_finding(criterion: Criterion, result: ToolResult) -> tuple[bool, str]:
    code = result.data.get("exit_code")
    stopped_by = result.data.get("stopped_by")
    if not isinstance(code, int) or stopped_by:
        return False, f"did not run to its end: {stopped_by or result.text[:_NOTE_CHARS_MAX]}"
    printed = _printed(result)
    said = " ".join(printed.split())[-_NOTE_CHARS_MAX:]
    note = f"exit code {code}" + (f": {said}" if said else "")
    match criterion.kind:
        case "command_fails":
            return code != 0, note
        case "command_outputs":
            return code == 0 and criterion.wanted in printed, note
        case _:
            return code == 0, note


def _printed(result: ToolResult) -> str:
    """What the command itself printed: the tool's own closing notes are no evidence."""
    size = result.data.get("output_bytes")
    return result.text.encode()[: size if isinstance(size, int) else 0].decode(errors="ignore")


def _fits(schema: dict[str, Any], output: str) -> tuple[bool, str]:
    try:
        gaps = schema_gaps(schema, json_of(output))
    except Invalid as error:
        return False, error.message
    return not gaps, "; ".join(gaps) or "the output fits the schema"
