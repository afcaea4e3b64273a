"""`exec`: what it asks the sandbox for, and what it tells the model."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.capability.rights import Rights
from kernel.directive import Mount, MountMode
from kernel.errors import AccessDenied, Invalid, SandboxDown
from kernel.ports.sandbox import Bind, Command, Finished, Probe, Sandbox, StoppedBy
from kernel.settings.tree import SandboxSettings, Settings
from kernel.syscalls.declare import Services
from kernel.syscalls.target import CommandClaim, PathClaim
from kernel.tools.shell import ExecArgs, exec_
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio


def ended(code: int, output: bytes, stopped_by: StoppedBy = "") -> Finished:
    return Finished(code, output, truncated=bool(stopped_by), duration_ms=1, tier="none", stopped_by=stopped_by)


@dataclass(slots=True)
class Recorder:
    """A sandbox that remembers what it was asked to run, and answers as told."""

    answer: Finished = field(default_factory=lambda: ended(0, b""))
    asked: list[Command] = field(default_factory=list[Command])

    async def run(self, command: Command, on_output: Callable[[bytes], None] | None = None) -> Finished:
        self.asked.append(command)
        if on_output is not None:
            on_output(self.answer.output)
        return self.answer

    async def probe(self) -> Probe:
        return Probe("bubblewrap", works=True, reason="it records")


def world_of(
    place: Path,
    sandbox: Sandbox,
    said: SandboxSettings | None = None,
    *,
    mode: MountMode = "rw",
    more: tuple[Mount, ...] = (),
) -> ToolWorld:
    settings = replace(Settings(place / "home"), sandbox=said or SandboxSettings())
    return ToolWorld(place, Services((Sandbox, sandbox), (Settings, settings)), mode, more)


async def test_a_program_and_a_line_reach_the_sandbox_as_they_are(tmp_path: Path) -> None:
    """The argv is passed on word for word; a line goes to bash as one word."""
    sandbox = Recorder()
    world = world_of(tmp_path, sandbox)
    await world.call(exec_, argv=["echo", "a b", "$HOME"])
    await world.call(exec_, command="echo a | cat")
    assert [command.argv for command in sandbox.asked] == [
        ("echo", "a b", "$HOME"),
        ("/bin/bash", "-c", "echo a | cat"),
    ]


async def test_it_runs_in_the_workspace_with_no_network(tmp_path: Path) -> None:
    """By default: the workspace writable, its root as directory, no network, no environment, the default time."""
    sandbox = Recorder()
    await world_of(tmp_path, sandbox).call(exec_, argv=["true"])
    command = sandbox.asked[0]
    assert command.binds == (Bind(str(tmp_path), writable=True),)
    assert (command.cwd, command.network, command.env, command.stdin) == (str(tmp_path), False, {}, b"")
    assert command.bounds.deadline_s == 120


@pytest.mark.parametrize(("arguments", "mode"), [({"read_only": True}, "rw"), ({}, "ro")])
async def test_what_may_not_be_written_is_bound_read_only(
    tmp_path: Path, arguments: dict[str, bool], mode: MountMode
) -> None:
    """Asked for, or because the mount is read-only (the gate refuses the claim as well)."""
    sandbox = Recorder()
    world = world_of(tmp_path, sandbox, mode=mode)
    try:
        await world.call(exec_, argv=["true"], **arguments)
    except AccessDenied:
        assert mode == "ro"
        await world.call(exec_, argv=["true"], read_only=True)
    assert sandbox.asked[0].binds == (Bind(str(tmp_path), writable=False),)


async def test_other_mounts_are_seen_only_where_they_are_named(tmp_path: Path) -> None:
    """A second mount is bound read-only when asked for, and is absent otherwise."""
    workspace, other = tmp_path / "w", tmp_path / "o"
    workspace.mkdir()
    other.mkdir()
    sandbox = Recorder()
    world = world_of(workspace, sandbox, more=(Mount(str(other)),))
    await world.call(exec_, argv=["true"])
    await world.call(exec_, argv=["true"], also_read=[str(other)])
    assert [len(command.binds) for command in sandbox.asked] == [1, 2]
    assert sandbox.asked[1].binds[1] == Bind(str(other), writable=False)


async def test_a_cwd_below_the_workspace_binds_the_workspace(tmp_path: Path) -> None:
    """The directory to run in is passed on; a file, or a place outside, is refused."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").touch()
    sandbox = Recorder()
    world = world_of(tmp_path, sandbox)
    await world.call(exec_, argv=["true"], cwd="sub")
    assert sandbox.asked[0].cwd == str(tmp_path / "sub")
    assert sandbox.asked[0].binds == (Bind(str(tmp_path), writable=True),)
    with pytest.raises(Invalid, match="not a directory"):
        await world.call(exec_, argv=["true"], cwd="file")
    with pytest.raises(AccessDenied):
        await world.call(exec_, argv=["true"], cwd="..")
    assert len(sandbox.asked) == 1


def test_the_claims_are_the_command_and_all_that_it_may_touch() -> None:
    """The whole workspace with both rights, since the process gets it; less where less is asked for."""
    claims = exec_.claims(ExecArgs(argv=("git", "log"), cwd="sub", also_read=("/o",), network=True))
    assert claims[0] == CommandClaim(("git", "log"), shell=False, network=True)
    assert set(claims[1:]) == {
        PathClaim(".", Rights.READ | Rights.WRITE),
        PathClaim("sub", Rights.READ),
        PathClaim("/o", Rights.READ),
    }
    assert exec_.claims(ExecArgs(command="ls", read_only=True)) == (
        CommandClaim(("ls",), shell=True),
        PathClaim(".", Rights.READ),
    )


async def test_only_variables_that_the_operator_named_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our environment, those in sandbox.env; the call's own are added to them."""
    monkeypatch.setenv("PASSED", "yes")
    monkeypatch.setenv("KEPT", "no")
    sandbox = Recorder()
    said = SandboxSettings(env=("PASSED", "ABSENT_HERE", "PATH"))
    await world_of(tmp_path, sandbox, said).call(exec_, argv=["true"], env={"OWN": "1"})
    assert sandbox.asked[0].env == {"PASSED": "yes", "OWN": "1"}


@pytest.mark.parametrize(("asked_s", "got_s"), [(5, 5), (30, 30), (600, 30)])
async def test_the_operators_deadline_is_a_ceiling(tmp_path: Path, asked_s: float, got_s: float) -> None:
    """A call may ask for less time than the settings give, never for more."""
    sandbox = Recorder()
    await world_of(tmp_path, sandbox, SandboxSettings(deadline_s=30)).call(exec_, argv=["true"], timeout_s=asked_s)
    assert sandbox.asked[0].bounds.deadline_s == got_s


async def test_a_file_that_grew_to_the_bound_is_told(tmp_path: Path) -> None:
    """A program that the bound on a file's length ended fails with the bound, not with a bare number."""
    sandbox = Recorder(ended(128 + signal.SIGXFSZ, b""))
    said = SandboxSettings(workspace_mb=3)
    result = await world_of(tmp_path, sandbox, said).call(exec_, argv=["dd"])
    assert (result.is_error, result.text) == (
        True,
        f"[exit code 153: a file may have {3 * 1024 * 1024} bytes at most]\n",
    )


async def test_the_settings_bounds_reach_the_sandbox(tmp_path: Path) -> None:
    """Each in its unit."""
    said = SandboxSettings(memory_mb=64, processes=5, descriptors=20, output_mb=2, workspace_mb=3, workspace_files=7)
    sandbox = Recorder()
    await world_of(tmp_path, sandbox, said).call(exec_, argv=["true"])
    bounds = sandbox.asked[0].bounds
    mib = 1024 * 1024
    assert (bounds.memory_bytes_max, bounds.output_bytes_max, bounds.workspace_bytes_max) == (
        64 * mib,
        2 * mib,
        3 * mib,
    )
    assert (bounds.processes_max, bounds.descriptors_max, bounds.workspace_files_max) == (5, 20, 7)


BAD: list[tuple[dict[str, object], str]] = [
    ({}, "either argv"),
    ({"argv": ["a"], "command": "b"}, "either argv"),
    ({"argv": [" "]}, "first word"),
    ({"argv": ["a", "b\0c"]}, "NUL"),
    ({"argv": ["a"], "env": {"A-B": "1"}}, "not a name"),
    ({"argv": ["a"], "env": {"PATH": "1"}}, "set by the sandbox"),
    ({"argv": ["a"], "env": {"A": "\0"}}, "NUL"),
    ({"argv": ["a"], "timeout_s": 0.5}, "greater than or equal to 1"),
    ({"argv": ["a"], "timeout_s": 601}, "less than or equal to 600"),
    ({"argv": ["a"], "shell": True}, "Extra inputs"),
]


@pytest.mark.parametrize(("arguments", "why"), BAD, ids=range(len(BAD)))
def test_arguments_that_mean_nothing_are_refused_in_words(arguments: dict[str, object], why: str) -> None:
    """Neither or both forms, NUL characters, odd names and times out of range."""
    with pytest.raises(ValidationError, match=why):
        ExecArgs.model_validate(arguments)


@pytest.mark.parametrize(
    ("answer", "text", "is_error"),
    [
        (ended(0, b"hi\n"), "hi\n", False),
        (ended(0, b""), "[no output, exit code 0]\n", False),
        (ended(2, b"no"), "no\n[exit code 2]\n", True),
        (ended(0, b"\xff"), "\ufffd", False),
    ],
)
async def test_the_end_of_a_command_is_told(tmp_path: Path, answer: Finished, text: str, is_error: bool) -> None:
    """Output as it is; the exit code where it is not 0; silence is said."""
    result = await world_of(tmp_path, Recorder(answer)).call(exec_, argv=["x"])
    assert (result.text, result.is_error) == (text, is_error)
    assert result.data["exit_code"] == answer.exit_code


@pytest.mark.parametrize("stopped_by", ["deadline", "output", "workspace", "processes", "memory"])
async def test_each_bound_that_ended_a_command_is_told_in_words(tmp_path: Path, stopped_by: StoppedBy) -> None:
    """The model reads which bound it was and how much it allows."""
    answer = ended(137, b"x", stopped_by)
    result = await world_of(tmp_path, Recorder(answer)).call(exec_, argv=["x"])
    assert result.is_error
    assert "[stopped: it " in result.text
    assert "[output cut]" in result.text
    assert "{" not in result.text


async def test_output_is_reported_while_it_runs(tmp_path: Path) -> None:
    """Whoever watches sees the pieces."""
    world = world_of(tmp_path, Recorder(ended(0, b"piece")))
    await world.call(exec_, argv=["x"])
    assert world.progress == ["piece"]


async def test_a_sandbox_that_is_down_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    """Nothing runs, and the model reads what a person can do."""
    world = world_of(tmp_path, BubblewrapSandbox(program="not-installed-here"))
    with pytest.raises(SandboxDown) as refused:
        await world.call(exec_, argv=["touch", "ran"])
    assert "apt-get" in refused.value.remedy
    assert not (tmp_path / "ran").exists()
