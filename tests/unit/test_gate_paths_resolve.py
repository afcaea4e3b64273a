"""Paths: what resolves to what, what is refused and why; over openat2 and over the walk without it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from kernel.capability.rights import Rights
from kernel.directive import Mount
from kernel.errors import Conflict, Invalid, NotFound
from kernel.gate import beneath, mounts
from kernel.gate.decision import Denied
from kernel.gate.paths import (
    NAME_BYTES_MAX,
    PATH_BYTES_MAX,
    open_beneath,
    open_parent,
    open_target,
    resolve_path,
    wall_off,
)
from kernel.syscalls.target import PathClaim, PathTarget


@pytest.fixture(params=["openat2", "walk"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with links of every sort, beside a secret; once for each way of resolving."""
    if request.param == "openat2" and not beneath.openat2_works():
        pytest.fail("this kernel has no openat2: the first way of resolving would go untested")
    monkeypatch.setattr(beneath, "openat2_works", lambda: request.param == "openat2")
    monkeypatch.setattr(mounts, "_walled", mounts.Places())
    work = tmp_path / "work"
    (work / "src/deep").mkdir(parents=True)
    (work / "src/deep/a.txt").write_text("inside")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("outside")
    (work / "link").symlink_to("src/deep")
    (work / "absolute").symlink_to(work / "src")
    (work / "out").symlink_to(tmp_path / "secret")
    (work / "up").symlink_to("../secret")
    (work / "dangling").symlink_to("nowhere")
    (work / "loop").symlink_to("loop")
    os.mkfifo(work / "fifo")
    return work


def resolved(place: Path, written: str, right: Rights = Rights.READ, *, missing_ok: bool = False) -> PathTarget:
    found = resolve_path(PathClaim(written, right, missing_ok), (Mount(str(place)),), ())
    assert isinstance(found, PathTarget), found
    return found


def refused(place: Path, written: str, right: Rights = Rights.READ, *, missing_ok: bool = False) -> Denied:
    found = resolve_path(PathClaim(written, right, missing_ok), (Mount(str(place)),), ())
    assert isinstance(found, Denied), found
    assert found.layer == "paths"
    assert found.reason
    assert found.remedy
    return found


@pytest.mark.parametrize(
    ("written", "inner"),
    [
        ("src/deep/a.txt", "src/deep/a.txt"),
        ("./src//deep/./a.txt", "src/deep/a.txt"),
        ("link/a.txt", "src/deep/a.txt"),
        ("absolute/deep/a.txt", "src/deep/a.txt"),
        ("src/../src/deep/a.txt", "src/deep/a.txt"),
        ("link/../deep/a.txt", "src/deep/a.txt"),
        (".", ""),
        ("src/deep/", "src/deep"),
    ],
)
def test_a_path_inside_is_made_real(place: Path, written: str, inner: str) -> None:
    """Dots and links that stay inside lead to one real path below the mount."""
    found = resolved(place, written)
    assert (found.mount, found.inner, found.exists) == (str(place), inner, True)
    assert found.real == os.path.realpath(place / written)


def test_an_absolute_path_is_taken_where_a_mount_contains_it(place: Path) -> None:
    """Writing a path from the root is the same as writing it from the workspace."""
    assert resolved(place, str(place / "src/deep/a.txt")) == resolved(place, "src/deep/a.txt")
    assert resolved(place, f"{place}/src/../link/a.txt") == resolved(place, "src/deep/a.txt")


@pytest.mark.parametrize(
    "written",
    ["out/key", "up/key", "../secret/key", "src/../../secret/key", "/etc/passwd", "/", "out", "up/../secret/key"],
)
def test_nothing_outside_is_reached(place: Path, written: str) -> None:
    """Links, dots and absolute paths that lead out of the workspace are refused."""
    assert "outside the workspace" in refused(place, written).reason


def test_a_refusal_does_not_tell_what_exists_outside(place: Path) -> None:
    """An agent cannot find out by refusals which files exist beyond its mounts."""
    there = refused(place, "out/key", missing_ok=True).reason.replace("key", "X")
    missing = refused(place, "out/nil", missing_ok=True).reason.replace("nil", "X")
    assert there == missing
    assert refused(place, "/etc/passwd").reason.replace("passwd", "X") == refused(place, "/etc/nil").reason.replace(
        "nil", "X"
    )


def test_a_sibling_with_the_same_beginning_is_outside(place: Path) -> None:
    """`/w/work2` is not below `/w/work`."""
    twin = place.parent / "work2"
    twin.mkdir()
    (twin / "f").write_text("x")
    refused(place, str(twin / "f"))


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a\0b", "NUL"),
        ("\ud800", "UTF-8"),
        ("~", "not expanded"),
        ("~/x", "not expanded"),
        ("x" * (NAME_BYTES_MAX + 1), "too long"),
        ("a/" * (PATH_BYTES_MAX // 2 + 1), "too long"),
        ("fifo", "a fifo"),
        ("loop", "links"),
        ("nope", "does not exist"),
        ("src/deep/a.txt/x", "no folder"),
        ("src/deep/a.txt/", "no folder"),
    ],
)
def test_a_path_that_cannot_be_says_why(place: Path, written: str, says: str) -> None:
    """Every bad text and every wrong sort of node has its own clear refusal."""
    assert says in refused(place, written).reason


def test_names_of_the_longest_length_pass(place: Path) -> None:
    """The bounds on names refuse from one byte above only."""
    longest = "x" * NAME_BYTES_MAX
    assert resolved(place, longest, Rights.WRITE, missing_ok=True).inner == longest
    fits = ("a/" * PATH_BYTES_MAX)[: PATH_BYTES_MAX - 1]
    assert resolved(place, fits, Rights.WRITE, missing_ok=True).exists is False


def test_a_device_and_a_socket_are_refused(place: Path) -> None:
    """Only files and folders can be targets."""
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(place, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/s")  # a socket's path is at most 108 bytes long
        os.close(folder)
        assert "a socket" in refused(place, "s").reason
    found = resolve_path(PathClaim("/dev/null", Rights.READ), (Mount("/dev"),), ())
    assert isinstance(found, Denied)
    assert "device" in found.reason


def test_a_missing_target_resolves_below_its_nearest_ancestor(place: Path) -> None:
    """A place that may be made is named through links, as the existing part really is."""
    found = resolved(place, "link/new/file.txt", Rights.WRITE, missing_ok=True)
    assert (found.inner, found.exists, found.is_dir) == ("src/deep/new/file.txt", False, False)
    assert resolved(place, "absolute/new", Rights.WRITE, missing_ok=True).inner == "src/new"


@pytest.mark.parametrize(
    "written", ["out/new", "up/new", "dangling", "dangling/x", "new/../../x", "src/deep/a.txt/new"]
)
def test_a_missing_target_cannot_be_smuggled_out(place: Path, written: str) -> None:
    """Neither a link, nor a dangling one, nor dots after a missing folder give a place to write to."""
    refused(place, written, Rights.WRITE, missing_ok=True)


def test_a_read_only_mount_refuses_writing_and_the_innermost_mount_decides(place: Path) -> None:
    """A ro mount refuses WRITE, permits READ, and a ro folder inside a rw one stays ro (and the reverse)."""
    outer, inner = str(place), str(place / "src")
    claim, reading = PathClaim("src/deep/a.txt", Rights.WRITE), PathClaim("src/deep/a.txt", Rights.READ)
    ro_inside = (Mount(outer, "rw"), Mount(inner, "ro"))
    assert isinstance(resolve_path(claim, ro_inside, ()), Denied)
    found = resolve_path(reading, ro_inside, ())
    assert isinstance(found, PathTarget)
    assert (found.mount, found.inner) == (inner, "deep/a.txt")
    assert isinstance(resolve_path(claim, (Mount(outer, "ro"), Mount(inner, "rw")), ()), PathTarget)
    assert isinstance(resolve_path(claim, (Mount(outer, "ro"),), ()), Denied)


def test_deny_beats_allow(place: Path) -> None:
    """What is denied is refused for reading too, itself and below, by its own name or through a link."""
    denied = (str(place / "src/deep"),)
    for written in ("src/deep", "src/deep/a.txt", "link/a.txt", "absolute/deep/a.txt", "src/deep/new"):
        found = resolve_path(PathClaim(written, Rights.READ, missing_ok=True), (Mount(str(place)),), denied)
        assert isinstance(found, Denied), written
        assert "off limits" in found.reason
    assert isinstance(resolve_path(PathClaim("src", Rights.READ), (Mount(str(place)),), denied), PathTarget)


def test_a_mount_inside_what_is_denied_is_refused(place: Path) -> None:
    """Mounting the kernel's home, or a folder of it, gives nothing."""
    for mount in (place, place / "src"):
        found = resolve_path(PathClaim(".", Rights.READ), (Mount(str(mount)),), (str(place),))
        assert isinstance(found, Denied)


def test_what_is_walled_off_cannot_be_resolved_opened_or_walked_into(place: Path) -> None:
    """A mount that contains the kernel's home does not lead into it, whoever opens."""
    wall_off(str(place / "src/deep"))
    refused(place, "src/deep/a.txt")
    for inner in ("src/deep", "src/deep/a.txt", "src/x/../deep"):
        with pytest.raises(Invalid, match="off limits"):
            open_beneath(str(place), inner, os.O_RDONLY)
    os.close(open_beneath(str(place), "src", os.O_RDONLY | os.O_DIRECTORY))


def test_a_run_without_mounts_reaches_nothing(place: Path) -> None:
    """No workspace, no path."""
    assert isinstance(resolve_path(PathClaim(str(place), Rights.READ), (), ()), Denied)


def test_a_mount_that_is_gone_or_not_real_is_named(place: Path) -> None:
    """A mount must be a directory under its own real path; anything else is refused, not followed."""
    gone = resolve_path(PathClaim("x", Rights.READ), (Mount(str(place / "gone")),), ())
    assert isinstance(gone, Denied)
    assert "cannot be opened" in gone.reason
    linked = resolve_path(PathClaim("a.txt", Rights.READ), (Mount(str(place / "link")),), ())
    assert isinstance(linked, Denied)
    assert "is really" in linked.reason


def test_a_mount_made_anew_is_seen(place: Path) -> None:
    """A directory that took a mount's place is the mount, not the deleted one we held open."""
    resolved(place, "src/deep/a.txt")
    place.rename(place.with_name("old"))
    place.mkdir()
    (place / "fresh").write_text("x")
    assert resolved(place, "fresh").exists
    assert "does not exist" in refused(place, "src/deep/a.txt").reason


def test_an_opened_target_is_the_resolved_file(place: Path) -> None:
    """Resolving through a link and opening gives the file's own bytes."""
    handle = open_target(resolved(place, "link/a.txt"), os.O_RDONLY)
    try:
        assert os.read(handle, 100) == b"inside"
    finally:
        os.close(handle)


def test_swapping_a_folder_for_a_link_does_not_lead_out(place: Path) -> None:
    """Between the gate's look and the open, a folder becomes a link to outside: the open refuses."""
    target = resolved(place, "src/deep/a.txt")
    fresh = resolved(place, "src/deep/key", Rights.WRITE, missing_ok=True)
    (place / "src/deep").rename(place / "src/moved")
    (place / "src/deep").symlink_to(place.parent / "secret")
    (place.parent / "secret/a.txt").write_text("outside")
    with pytest.raises(Conflict):
        open_target(target, os.O_RDONLY)
    with pytest.raises(Conflict):
        open_target(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with pytest.raises(Conflict):
        open_parent(fresh, make=True)
    assert (place.parent / "secret/key").read_text() == "outside"


def test_swapping_the_file_itself_for_a_link_or_fifo_is_seen(place: Path) -> None:
    """A file that became a link is refused, and a fifo does not block the open."""
    target = resolved(place, "src/deep/a.txt")
    (place / "src/deep/a.txt").unlink()
    with pytest.raises(NotFound):
        open_target(target, os.O_RDONLY)
    (place / "src/deep/a.txt").symlink_to(place.parent / "secret/key")
    with pytest.raises(Conflict):
        open_target(target, os.O_RDONLY)
    (place / "src/deep/a.txt").unlink()
    os.mkfifo(place / "src/deep/a.txt")
    with pytest.raises(Conflict, match="fifo"):
        open_target(target, os.O_RDONLY)


def test_opening_beneath_never_goes_up_or_through_links(place: Path) -> None:
    """A tool that walks cannot leave the mount by dots or by any link, even one that stays inside."""
    for inner in ("../secret/key", "src/../../secret/key", "out/key", "link/a.txt", "/etc/passwd"):
        with pytest.raises((Conflict, NotFound)):
            os.close(open_beneath(str(place), inner, os.O_RDONLY))
    os.close(open_beneath(str(place), "src/deep/a.txt", os.O_RDONLY))


def test_the_parent_of_a_target_is_made_on_the_way(place: Path) -> None:
    """`open_parent` with `make` makes each missing folder beneath its parent's handle, and gives the name."""
    target = resolved(place, "new/deeper/file", Rights.WRITE, missing_ok=True)
    with pytest.raises(NotFound):
        open_parent(target)
    parent, name = open_parent(target, make=True)
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=parent)
        os.close(handle)
    finally:
        os.close(parent)
    assert (place / "new/deeper/file").exists()
    with pytest.raises(Invalid):
        open_parent(resolved(place, "."))


def test_resolving_leaves_no_descriptor_open(place: Path) -> None:
    """After many resolutions and opens, allowed or refused, the process holds what it held before."""
    resolved(place, ".")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for written in ("src/deep/a.txt", "link/a.txt", "out/key", "nope", "fifo", "absolute/deep/a.txt", "loop"):
        resolve_path(PathClaim(written, Rights.READ), (Mount(str(place)),), ())
    os.close(open_target(resolved(place, "link/a.txt"), os.O_RDONLY))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
