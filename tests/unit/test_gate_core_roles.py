"""Roles by policy file: the default, hot reload, and every way a file can be wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from kernel.gate.decision import Case, Denied
from kernel.gate.request import Request
from kernel.gate.role_policy import DEFAULT_POLICY, POLICY_BYTES_MAX, RULES_MAX, Policy, ensure_policy, parse_policy
from kernel.gate.roles import RoleLayer, enforcer
from kernel.ids import CallId, Digest, Principal
from kernel.syscalls.declare import AnySyscall, Args, Call, Effect, ToolResult, no_claims, syscall


def _declared(name: str, effect: Effect, *, offered: bool) -> AnySyscall:
    @syscall(name, Args, claims=no_claims, effect=effect, offered=offered)
    async def body(_call: Call, _args: Args) -> ToolResult:
        """Nothing."""
        raise AssertionError

    return body


READ = _declared("read", Effect.READ, offered=True)
EXEC = _declared("exec", Effect.EXTERNAL, offered=True)
CAPS_LIST = _declared("caps.list", Effect.READ, offered=False)
CAPS_GRANT = _declared("caps.grant", Effect.EXTERNAL, offered=False)
RUNS_START = _declared("runs.start", Effect.EXTERNAL, offered=False)
MODEL = _declared("model", Effect.READ, offered=False)
ALL = (READ, EXEC, CAPS_LIST, CAPS_GRANT, RUNS_START, MODEL)


class Office:
    """A policy file and the layer that reads it."""

    def __init__(self, folder: Path, text: str = DEFAULT_POLICY) -> None:
        self.path = folder / "policy.csv"
        self.layer = RoleLayer(self.path)
        self.ticks = 0
        self.save(text)

    def save(self, text: str | bytes) -> None:
        """Save, with a time of its own: two saves in one tick of the disk's clock would look alike."""
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.ticks += 1
        os.utime(self.path, ns=(self.ticks * 10**9, self.ticks * 10**9))

    def ask(self, role: str, called: AnySyscall) -> Denied | None:
        person = Principal("user:alice")
        request = Request(person, person, role, None, CallId("h.1"), called, Args(), Digest("0" * 64), ())
        return anyio.run(self.layer.check, Case(request))

    def may(self, role: str, called: AnySyscall) -> bool:
        return self.ask(role, called) is None


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("agent", {READ, EXEC, MODEL}),
        ("viewer", {CAPS_LIST, MODEL}),
        ("user", {READ, EXEC, CAPS_LIST, MODEL, RUNS_START}),
        ("operator", set(ALL)),
        ("superuser", set[AnySyscall]()),
        ("", set[AnySyscall]()),
    ],
)
def test_the_default_policy(role: str, allowed: set[AnySyscall], tmp_path: Path) -> None:
    """Agents get tools and models alone, viewers look, and a role without rules gets nothing."""
    office = Office(tmp_path)
    assert {called.name for called in ALL if office.may(role, called)} == {called.name for called in allowed}


def test_a_refusal_says_which_line_would_change_it(tmp_path: Path) -> None:
    """The line in the remedy, added to the file, allows exactly this."""
    office = Office(tmp_path)
    denied = office.ask("agent", CAPS_LIST)
    assert denied is not None
    assert (denied.layer, denied.need) == ("roles", "kernel/caps.list")
    office.save(DEFAULT_POLICY + denied.remedy.partition(": ")[2] + "\n")
    assert office.may("agent", CAPS_LIST)
    assert not office.may("agent", CAPS_GRANT)


def test_deny_beats_allow_and_patterns_end_in_a_star(tmp_path: Path) -> None:
    """A deny line wins wherever it stands; `kernel/caps.*` means what begins with `kernel/caps.`."""
    office = Office(tmp_path, "p, a, kernel/caps.*, *\np, a, kernel/caps.grant, *, deny\np, b, kernel/caps, *")
    assert office.may("a", CAPS_LIST)
    assert not office.may("a", CAPS_GRANT)
    assert not office.may("a", RUNS_START)
    assert not office.may("b", CAPS_LIST)


def test_a_refusal_says_which_way_the_policy_would_have_to_change(tmp_path: Path) -> None:
    """Where a deny line is in the way, no further line helps: the remedy is to take that one out."""
    office = Office(tmp_path, "p, a, kernel/caps.*, *\np, a, kernel/caps.grant, *, deny")
    denied, unnamed = office.ask("a", CAPS_GRANT), office.ask("a", RUNS_START)
    assert denied is not None
    assert unnamed is not None
    assert "deny line" in denied.remedy
    assert "can take it out" in denied.remedy
    assert "p, a, kernel/runs.start, " in unnamed.remedy


def test_roles_inherit_also_in_a_circle(tmp_path: Path) -> None:
    """`g` passes on what the other may, over several steps; a circle of roles hangs nothing."""
    office = Office(tmp_path, "g, a, b\ng, b, c\ng, c, a\np, c, tool/read, read_only")
    assert all(office.may(role, READ) for role in "abc")
    assert not office.may("a", EXEC)


def test_the_tier_is_part_of_a_rule(tmp_path: Path) -> None:
    """A rule for one tier says nothing of another."""
    office = Office(tmp_path, "p, a, *, read_only")
    assert office.may("a", READ)
    assert not office.may("a", EXEC)


def test_a_saved_file_decides_the_next_call(tmp_path: Path) -> None:
    """What was allowed is refused after the save, what was refused is allowed; no restart."""
    office = Office(tmp_path, "p, a, tool/read, *")
    assert office.may("a", READ)
    assert not office.may("a", EXEC)
    epoch = office.layer.epoch
    office.save("p, a, tool/exec, *")
    assert not office.may("a", READ)
    assert office.may("a", EXEC)
    assert office.layer.epoch == epoch + 1


def test_answers_are_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Casbin is asked once per role and syscall, and not at all for a file that has not changed."""
    office = Office(tmp_path)
    built: list[Policy] = []

    def build(policy: Policy) -> Callable[[str, str, str], bool]:
        built.append(policy)
        return enforcer(policy)

    monkeypatch.setattr("kernel.gate.roles.enforcer", build)
    assert all(office.may("agent", READ) for _ in range(3))
    assert len(built) == 1
    assert office.layer.epoch == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p, agent, tool/*, *\nq, agent, tool/*, *", "line 2 begins with 'q'"),
        ("p, agent, tool/*", "line 1 has 2 fields"),
        ("p, agent, tool/*, *, allow, more", "line 1 has 5 fields"),
        ("# fine\n\np, agent, tools, *", "line 3 names no syscall"),
        ("p, agent, tool/re*d, *", "line 1 names no syscall"),
        ("p, agent, tool/*, readonly", "unknown tier 'readonly'"),
        ("p, agent, tool/*, *, maybe", "says 'maybe'"),
        ("p, Agent!, tool/*, *", "names no role"),
        ("g, agent", "line 1 has 1 fields"),
        ("g, agent, *", "names no role"),
        (b"p, agent, tool/*, *\n\xff", "line 2 is not UTF-8"),
        ("#" * (POLICY_BYTES_MAX + 1), "too large"),
        ("p, agent, tool/*, *\n" * (RULES_MAX + 1), f"has {RULES_MAX + 1} rules"),
    ],
)
def test_a_malformed_file_refuses_everything_and_names_the_line(
    text: str | bytes, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even what a good line above allows; and the next good file works again."""
    office = Office(tmp_path)
    assert office.may("operator", READ)
    office.save(text)
    denied = office.ask("operator", READ)
    assert denied is not None
    assert denied.layer == "roles"
    assert says in denied.reason
    assert says in capfd.readouterr().err
    office.save(DEFAULT_POLICY)
    assert office.may("operator", READ)


def test_a_missing_file_refuses_everything(tmp_path: Path) -> None:
    """Removing the policy is not a way round it; putting it back works without a restart."""
    office = Office(tmp_path)
    assert office.may("operator", READ)
    office.path.unlink()
    denied = office.ask("operator", READ)
    assert denied is not None
    assert "No such file" in denied.reason
    office.save(DEFAULT_POLICY)
    assert office.may("operator", READ)


def test_bounds_hold_exactly() -> None:
    """As many rules and bytes as allowed are read; the malformed cases above have one more."""
    assert len(parse_policy(b"p, agent, tool/*, *\n" * RULES_MAX).rules) == RULES_MAX
    assert parse_policy(b"#" * POLICY_BYTES_MAX).rules == ()


def test_the_default_is_written_once_and_private(tmp_path: Path) -> None:
    """It never overwrites what an operator wrote, and only the operator may read it."""
    path = tmp_path / "policy.csv"
    assert ensure_policy(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("# mine", encoding="utf-8")
    assert not ensure_policy(path)
    assert path.read_text(encoding="utf-8") == "# mine"
