"""Reviews: every criterion can pass and fail by a fact, and the verdict names its journal entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import anyio
import pytest

from kernel.errors import AccessDenied, JournalDown
from kernel.ids import Digest, Principal, RunId
from kernel.journal.entry import Draft, Entry, Subscriber
from kernel.jsontypes import JsonValue
from kernel.syscalls.declare import ToolResult
from ouroboros.review import Review, exec_args, needs_review
from ouroboros.seed import Seed, SeedSpec
from ouroboros.verdict import Finding, Verdict

OWNER = Principal("user:test")
RUN = RunId("r1")
DIGEST = Digest("0" * 64)


@dataclass
class FakeJournal:
    """Commits at once and tells its subscribers."""

    entries: list[Entry] = field(default_factory=list[Entry])
    subscribers: list[Subscriber] = field(default_factory=list[Subscriber])

    def commit(self, draft: Draft) -> Entry:
        entry = Entry(len(self.entries) + 1, 0, draft.principal, draft.stream, draft.kind, DIGEST, draft.payload)
        self.entries.append(entry)
        for subscriber in self.subscribers:
            subscriber((entry,))
        return entry

    async def append(self, draft: Draft) -> Entry:
        return self.commit(draft)

    async def read(self, *, stream: str | None = None, kind: str | None = None, **_rest: object) -> list[Entry]:
        return [entry for entry in self.entries if entry.stream == stream and entry.kind == kind]

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        self.subscribers.append(subscriber)
        return lambda: self.subscribers.remove(subscriber)


@dataclass
class FakeHandle:
    """Files and commands of a small made-up world; every call ends in the journal, as the kernel's do."""

    journal: FakeJournal
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    commands: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    made: list[tuple[str, dict[str, JsonValue]]] = field(default_factory=list[tuple[str, dict[str, JsonValue]]])

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
        args = dict(arguments or {})
        self.made.append((name, args))
        # Another principal's call in between must not be taken for evidence.
        self.journal.commit(Draft(Principal("agent:r1"), RUN, "call.outcome", {}))
        if args.get("path") == "secret":
            self.journal.commit(Draft(OWNER, RUN, "call.denied", {}))
            raise AccessDenied("'secret' is off limits", layer="paths", remedy="no")
        self.journal.commit(Draft(OWNER, RUN, "call.intent", {}))
        result = self._look(args) if name == "look" else self._exec(args)
        self.journal.commit(Draft(OWNER, RUN, "call.outcome", {}))
        return result

    def _look(self, args: dict[str, JsonValue]) -> ToolResult:
        content = self.files.get(str(args["path"]))
        if content is None:
            return ToolResult("it is not there", {"kind": "absent"})
        found = str(args.get("contains", "")) in content and str(args.get("matches", "")).strip("^$") in content
        return ToolResult("it is a file", {"kind": "file", "found": found})

    def _exec(self, args: dict[str, JsonValue]) -> ToolResult:
        words = cast("list[str]", args.get("argv", []))
        line = str(args.get("command") or " ".join(words))
        code, output = self.commands[line]
        stopped = {"stopped_by": "deadline"} if code < 0 else {}
        return ToolResult(f"{output}[exit code {code}]", {"exit_code": code, "output_bytes": len(output), **stopped})


def _judge(criteria: list[str], output: str = "", **spec: object) -> tuple[Verdict, FakeHandle, FakeJournal]:
    journal = FakeJournal()
    handle = FakeHandle(
        journal,
        files={"a.txt": "hello world"},
        commands={
            "true": (0, ""),
            "false": (1, ""),
            "echo hi": (0, "hi\n"),
            "cat hi": (1, "no hi"),
            "sleep 9": (-9, ""),
        },
    )
    journal.commit(Draft(OWNER, RUN, "run.finished", {}))
    seed = Seed.new(SeedSpec.model_validate({"goal": "g", "criteria": criteria, **spec}), 1)
    verdict = anyio.run(Review(journal, handle, OWNER, RUN).verdict, seed, output)  # pyright: ignore[reportArgumentType] -- a part of Appender
    assert not journal.subscribers
    return verdict, handle, journal


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        ("file exists: a.txt", "file exists: b.txt"),
        ("file absent: b.txt", "file absent: a.txt"),
        ("file contains: a.txt :: world", "file contains: a.txt :: worlds"),
        ("file matches: a.txt :: /^hello/", "file matches: a.txt :: /^bye/"),
        ("file absent: b.txt", "file contains: b.txt :: hello"),
        ("command succeeds: true", "command succeeds: false"),
        ("command fails: false", "command fails: true"),
        ('command outputs "hi": echo hi', 'command outputs "ho": echo hi'),
        ("command succeeds: echo hi", 'command outputs "hi": cat hi'),
        ("command succeeds: true", 'command outputs "exit code": true'),
        ("command succeeds: true", "command fails: sleep 9"),
        ("output contains: done", "output contains: undone"),
        ("output matches /^all/", "output matches /^none/"),
    ],
)
def test_each_kind_passes_and_fails_by_its_fact(holds: str, fails: str) -> None:
    """For every executable form there is a world in which it passes and one in which it fails."""
    verdict, _, _ = _judge([holds, fails], output="all done")
    assert [finding.status for finding in verdict.findings] == ["passed", "failed"]
    assert (verdict.passed, verdict.score) == (False, 0.5)
    assert verdict.gaps == (f"{verdict.findings[1].criterion}: {verdict.findings[1].note}",)


def test_evidence_names_the_owners_own_calls() -> None:
    """A finding points to the entry of its own call; one about the output to the run's end."""
    verdict, _, journal = _judge(["file exists: a.txt", "output contains: x", "command succeeds: true"], output="x")
    kinds = [[journal.entries[seq - 1] for seq in finding.evidence] for finding in verdict.findings]
    assert [[(entry.kind, entry.principal) for entry in found] for found in kinds] == [
        [("call.outcome", OWNER)],
        [("run.finished", OWNER)],
        [("call.outcome", OWNER)],
    ]
    assert len({finding.evidence for finding in verdict.findings}) == 3


def test_what_may_not_be_looked_at_has_failed() -> None:
    """A refusal fails even a criterion that asks for absence, and the refusal is its evidence."""
    verdict, _, journal = _judge(["file absent: secret", "file exists: a.txt"])
    first, second = verdict.findings
    assert (first.status, second.status) == ("failed", "passed")
    assert "off limits" in first.note
    assert journal.entries[first.evidence[0] - 1].kind == "call.denied"


def test_word_overlap_decides_nothing() -> None:
    """A sentence that the output repeats word for word stays unjudged, and nothing is passed by it."""
    sentence = "The exit code 0 report is complete and correct"
    verdict, handle, _ = _judge([sentence], output=sentence)
    assert verdict.findings == (Finding(sentence, "unjudged", (), verdict.findings[0].note),)
    assert (verdict.passed, verdict.score, verdict.gaps, handle.made) == (None, None, (), [])


def test_unjudged_sentences_do_not_change_the_score() -> None:
    """The score is of what a program decided."""
    verdict, _, _ = _judge(["It is pretty", "file exists: a.txt"])
    assert (verdict.passed, verdict.score) == (True, 1.0)


@pytest.mark.parametrize(
    ("output", "status", "note"),
    [
        ('{"files": 3}', "passed", "fits"),
        ('Here it is:\n```json\n{"files": 3}\n```\n', "passed", "fits"),
        ('{"files": "3"}', "failed", "not of type"),
        ('{"files": 3, "more": 1}', "failed", "more"),
        ("three", "failed", "not JSON"),
        ("", "failed", "not JSON"),
    ],
)
def test_a_schema_is_checked_without_being_asked_for(output: str, status: str, note: str) -> None:
    """With an output schema the answer must be JSON that fits it, whether or not a criterion says so."""
    schema = {"type": "object", "properties": {"files": {"type": "integer"}}, "additionalProperties": False}
    for criteria in ([], ["output matches schema"]):
        verdict, _, _ = _judge(criteria, output, output_schema=schema)
        assert [finding.status for finding in verdict.findings] == [status]
        assert note in verdict.findings[0].note


def test_the_verdict_is_recorded_in_the_runs_stream() -> None:
    """The newest entry of the run is the verdict, with every finding and its evidence."""
    verdict, _, journal = _judge(["file exists: a.txt", "file exists: b.txt"])
    last = journal.entries[-1]
    assert (last.stream, last.kind, last.principal, last.payload) == (RUN, "review.verdict", OWNER, verdict.json())


def test_a_journal_that_is_down_gives_no_verdict() -> None:
    """Where calls cannot be recorded, the review raises instead of counting the criterion as failed."""

    class Down(FakeHandle):
        async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
            raise JournalDown("disk full")

    journal = FakeJournal()
    seed = Seed.new(SeedSpec(goal="g", criteria=("file exists: a",)), 1)
    with pytest.raises(JournalDown):
        anyio.run(Review(journal, Down(journal), OWNER, RUN).verdict, seed, "")  # pyright: ignore[reportArgumentType] -- a part of Appender
    assert not journal.entries


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("make test", {"argv": ["make", "test"]}),
        ("grep -c 'a b' x", {"argv": ["grep", "-c", "a b", "x"]}),
        ("cat a | wc -l", {"command": "cat a | wc -l"}),
        ("echo $HOME", {"command": "echo $HOME"}),
        ("ls *.txt", {"command": "ls *.txt"}),
        ("echo 'open", {"command": "echo 'open"}),
        ("A=1 env", {"command": "A=1 env"}),
    ],
)
def test_a_plain_line_needs_no_shell(line: str, args: dict[str, JsonValue]) -> None:
    """A line of plain words runs as a program with arguments; only one that needs a shell gets one."""
    assert exec_args(line) == args


def test_a_read_only_workspace_is_reviewed_read_only() -> None:
    """Commands on a workspace that may not be written do not ask to write it."""
    journal = FakeJournal()
    handle = FakeHandle(journal, commands={"true": (0, "")})
    seed = Seed.new(SeedSpec(goal="g", criteria=("command succeeds: true",)), 1)
    anyio.run(Review(journal, handle, OWNER, RUN, True).verdict, seed, "")  # pyright: ignore[reportArgumentType] -- a part of Appender
    assert handle.made == [("exec", {"argv": ["true"], "read_only": True})]


def test_what_needs_a_review() -> None:
    """Criteria or a schema ask for one; a bare goal does not."""
    assert not needs_review(Seed.new(SeedSpec(goal="g"), 1))
    assert needs_review(Seed.new(SeedSpec(goal="g", criteria=("nice",)), 1))
    assert needs_review(Seed.new(SeedSpec(goal="g", output_schema={"type": "object"}), 1))
