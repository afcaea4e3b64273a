"""Mounts become real directories, and the places an agent must not be given are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.directive import Mount
from kernel.errors import Invalid
from ouroboros.seed import SeedMount
from ouroboros.workspace import Places, resolve_mounts


def _places(tmp_path: Path, cwd: str = "home/code") -> Places:
    for name in ("home/code/src", "home/code/lib", "home/.oxios/journal", "seeds/data", "other"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    return Places(cwd=tmp_path / cwd, user_home=tmp_path / "home", kernel_home=tmp_path / "home/.oxios")


def _mounts(*written: tuple[str, str]) -> list[SeedMount]:
    return [SeedMount.model_validate({"path": path, "mode": mode}) for path, mode in written]


def test_without_mounts_the_workspace_is_the_current_directory(tmp_path: Path) -> None:
    """No mounts and no flag: the agent works where the person stands."""
    places = _places(tmp_path)
    assert resolve_mounts([], places, directory=tmp_path / "seeds") == (Mount(str(tmp_path / "home/code")),)


def test_mounts_are_relative_to_the_seed_file(tmp_path: Path) -> None:
    """A relative mount means the same wherever the command is run; links are made real, twins dropped."""
    places = _places(tmp_path)
    (tmp_path / "seeds/link").symlink_to(tmp_path / "other")
    found = resolve_mounts(
        _mounts(("data", "rw"), ("link", "ro"), ("../other", "ro")), places, directory=tmp_path / "seeds"
    )
    assert found == (Mount(str(tmp_path / "seeds/data")), Mount(str(tmp_path / "other"), "ro"))


def test_the_flag_takes_the_place_of_the_workspace(tmp_path: Path) -> None:
    """--workspace replaces the first mount, is relative to where the person stands, and keeps the others."""
    places = _places(tmp_path)
    found = resolve_mounts(
        _mounts(("data", "rw"), ("../other", "ro")), places, directory=tmp_path / "seeds", workspace="src"
    )
    assert found == (Mount(str(tmp_path / "home/code/src")), Mount(str(tmp_path / "other"), "ro"))


@pytest.mark.parametrize("written", ["/", "..", "../..", "/proc/self/cwd/../.."])
def test_the_home_and_what_contains_it_are_refused(
    tmp_path: Path, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root, the user's home and anything above it are refused as a mount, however they are written."""
    places = _places(tmp_path)
    monkeypatch.chdir(places.cwd)
    with pytest.raises(Invalid, match="home") as caught:
        resolve_mounts(_mounts((written, "rw")), places, directory=places.cwd)
    assert "--workspace" in caught.value.remedy


def test_standing_in_the_home_is_no_permission(tmp_path: Path) -> None:
    """Run from the home directory with no mounts, a seed is refused; named with the flag, it is allowed."""
    places = _places(tmp_path, cwd="home")
    with pytest.raises(Invalid, match="whole home directory"):
        resolve_mounts([], places, directory=tmp_path)
    assert resolve_mounts([], places, directory=tmp_path, workspace=".") == (Mount(str(tmp_path / "home")),)


@pytest.mark.parametrize("written", ["a\0b", "/tmp/\0", "~nobody-by-this-name/x", "/" + "a" * 5_000])
def test_what_is_no_path_is_refused_in_words(tmp_path: Path, written: str) -> None:
    """A NUL, a user's home that there is not, a name longer than any file's: refused like what does not exist."""
    places = _places(tmp_path, cwd="home")
    with pytest.raises(Invalid):
        resolve_mounts(_mounts((written, "ro")), places, directory=places.cwd)
    with pytest.raises(Invalid):
        resolve_mounts([], places, directory=places.cwd, workspace=written)


@pytest.mark.parametrize("written", [".oxios", ".oxios/journal", "link"])
def test_the_kernels_home_is_never_a_mount(tmp_path: Path, written: str) -> None:
    """Neither the kernel's home nor anything in it can be mounted, not even by the flag or through a link."""
    places = _places(tmp_path, cwd="home")
    (tmp_path / "home/link").symlink_to(tmp_path / "home/.oxios")
    with pytest.raises(Invalid, match="Oxios itself"):
        resolve_mounts(_mounts((written, "ro")), places, directory=places.cwd)
    with pytest.raises(Invalid, match="Oxios itself"):
        resolve_mounts([], places, directory=places.cwd, workspace=written)


@pytest.mark.parametrize(
    ("written", "what", "remedy"),
    [
        ("missing", "does not exist", "mkdir -p"),
        ("file.txt", "not a directory", "directory"),
        ("loop", "cannot be used|does not exist", ""),
        ("~nobody-of-that-name/x", "cannot be used", ""),
    ],
)
def test_a_mount_must_be_a_directory_that_is_there(tmp_path: Path, written: str, what: str, remedy: str) -> None:
    """A missing mount is refused with the command that makes it; a file or a loop is no mount."""
    places = _places(tmp_path)
    (places.cwd / "file.txt").write_text("x", encoding="utf-8")
    (places.cwd / "loop").symlink_to(places.cwd / "loop")
    with pytest.raises(Invalid, match=what) as caught:
        resolve_mounts(_mounts((written, "rw")), places, directory=places.cwd)
    assert remedy in caught.value.remedy


def test_one_directory_has_one_mode(tmp_path: Path) -> None:
    """The same directory mounted read-only and writable is a contradiction, and refused."""
    places = _places(tmp_path)
    with pytest.raises(Invalid, match="both"):
        resolve_mounts(_mounts(("src", "rw"), ("./src", "ro")), places, directory=places.cwd)
