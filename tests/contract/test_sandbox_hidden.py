"""Denied places that lie inside a workspace: no command sees, makes, moves or uncovers them."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.adapters.sandbox.none import NoSandbox
from kernel.boot import denied_places, make_sandbox
from kernel.errors import SandboxDown
from kernel.ports.sandbox import Bind, Command, Sandbox
from kernel.settings import load_settings

pytestmark = pytest.mark.anyio


async def said(sandbox: Sandbox, place: Path, text: str, *, writable: bool = True) -> str:
    """What a bash line in `place` printed."""
    command = Command(("/bin/bash", "-c", text), str(place), (Bind(str(place), writable=writable),))
    return (await sandbox.run(command)).output.decode()


def names(place: Path) -> list[str]:
    """What stands in a directory, outside."""
    return sorted(each.name for each in place.iterdir())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A denied directory two levels down, with a secret in it."""
    place = tmp_path / "a" / "home"
    place.mkdir(parents=True)
    (place / "key").write_text("hunter2")
    return place


@pytest.mark.parametrize("writable", [True, False])
async def test_a_denied_place_in_the_workspace_is_empty_inside(tmp_path: Path, secret: Path, writable: bool) -> None:
    """Neither by its path nor by a link to it can its content be read or listed."""
    (tmp_path / "link").symlink_to(secret)
    text = "cat a/home/key link/key; ls -A a/home link/; grep -r hunter2 .; true"
    assert "hunter2" not in await said(BubblewrapSandbox([str(secret)]), tmp_path, text, writable=writable)


async def test_a_denied_place_cannot_be_moved_from_under_its_cover(tmp_path: Path, secret: Path) -> None:
    """Else the next command, and every file tool, would find it under another name."""
    sandbox = BubblewrapSandbox([str(secret)])
    await said(sandbox, tmp_path, "mv a b; mv a/home a/b; ln a/home/key d; rm -rf a")
    assert (secret / "key").read_text() == "hunter2"
    assert names(tmp_path) == ["a"]
    assert "hunter2" not in await said(sandbox, tmp_path, "grep -r . .")


async def test_beside_a_denied_place_work_goes_on(tmp_path: Path, secret: Path) -> None:
    """Only that place is covered: its neighbours are read and written as before."""
    (secret.parent / "beside").write_text("seen")
    assert await said(BubblewrapSandbox([str(secret)]), tmp_path, "cat a/beside; echo new > a/made") == "seen"
    assert (secret.parent / "made").read_text() == "new\n"


async def test_a_denied_place_that_is_not_there_cannot_be_made(tmp_path: Path) -> None:
    """A command cannot lay keys where others look for them, and nothing is left of the cover."""
    sandbox = BubblewrapSandbox([str(tmp_path / ".ssh"), str(tmp_path / ".config" / "cloud")])
    text = (
        "mkdir -p .ssh .config/cloud; echo k > .ssh/authorized_keys; echo k > .config/cloud/x; mv .config o; echo end"
    )
    assert (await said(sandbox, tmp_path, text)).endswith("end\n")
    assert names(tmp_path) == []


async def test_what_a_command_makes_beside_an_absent_denied_place_stays(tmp_path: Path) -> None:
    """Taking the cover away removes nothing but what was made for it."""
    await said(BubblewrapSandbox([str(tmp_path / ".config" / "cloud")]), tmp_path, "echo y > .config/mine")
    assert names(tmp_path / ".config") == ["mine"]


async def test_one_command_that_ends_uncovers_nothing_for_another(tmp_path: Path) -> None:
    """The cover of an absent place stays until the last command in that workspace has ended."""
    sandbox = BubblewrapSandbox([str(tmp_path / ".ssh")])
    async with anyio.create_task_group() as group:
        heard = anyio.Event()

        async def long() -> None:
            text = "echo up; until [ -e go ]; do sleep 0.02; done; echo k > .ssh/k; mkdir .ssh/d; touch done"
            command = Command(("/bin/bash", "-c", text), str(tmp_path), (Bind(str(tmp_path), writable=True),))
            await sandbox.run(command, lambda _piece: heard.set())

        group.start_soon(long)
        await heard.wait()
        await said(sandbox, tmp_path, "touch go")
    assert names(tmp_path) == ["done", "go"]


async def test_a_denied_file_reads_as_empty_and_stays(tmp_path: Path) -> None:
    """A single file can be denied as well."""
    secret = tmp_path / ".netrc"
    secret.write_text("hunter2")
    assert await said(BubblewrapSandbox([str(secret)]), tmp_path, "cat .netrc; rm -f .netrc; mv .netrc x") != "hunter2"
    assert secret.read_text() == "hunter2"


@pytest.mark.parametrize("there", [True, False])
async def test_without_confinement_a_workspace_that_holds_a_denied_place_is_refused(
    tmp_path: Path, there: bool
) -> None:
    """Tier none can hide nothing, so it says so instead of running."""
    place = tmp_path / "home"
    if there:
        place.mkdir()
    with pytest.raises(SandboxDown, match="cannot hide"):
        await said(NoSandbox([str(place)]), tmp_path, "true")


async def test_without_confinement_another_workspace_is_no_concern(tmp_path: Path) -> None:
    """What lies elsewhere does not stop a command."""
    work = tmp_path / "work"
    work.mkdir()
    assert await said(NoSandbox([str(tmp_path / "home")]), work, "echo ran") == "ran\n"


@pytest.mark.parametrize("tier", ["bubblewrap", "none"])
async def test_the_kernels_sandbox_hides_its_home_and_what_the_settings_deny(tmp_path: Path, tier: str) -> None:
    """Boot hands the same places to the sandbox as to the gate, in either tier."""
    denied = tmp_path / "private"
    denied.mkdir()
    (denied / "x").write_text("hunter2")
    home = tmp_path / "home"
    home.mkdir()
    (home / "key").write_text("hunter2")
    overrides = {"sandbox.tier": tier, "paths.denied": f'["{denied}"]'}
    settings = load_settings(home=home, cwd=tmp_path, overrides=overrides, env={})
    assert {str(home), str(denied)} <= set(denied_places(settings))
    sandbox = make_sandbox(settings)
    if tier == "none":
        with pytest.raises(SandboxDown):
            await said(sandbox, tmp_path, "true")
    else:
        assert "hunter2" not in await said(sandbox, tmp_path, "cat home/key private/x")


async def test_a_journal_kept_elsewhere_is_denied_as_well(tmp_path: Path) -> None:
    """`journal.url` may name a file in the workspace: it and SQLite's files beside it are the kernel's."""
    url = f"sqlite://{tmp_path}/ground/j.db"
    settings = load_settings(home=tmp_path / "home", cwd=tmp_path, overrides={"journal.url": url}, env={})
    places = {f"{tmp_path}/ground/j.db{suffix}" for suffix in ("", "-wal", "-shm")}
    assert places <= set(denied_places(settings))
