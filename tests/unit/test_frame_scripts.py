"""The scripts behind `make`: they name what is lacking, install only what is, and never hide a failure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts import check, machine, setup

APT = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in *install*) printf '#!/bin/sh\\n' > "{bin}/bwrap"; chmod +x "{bin}/bwrap" ;; esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH: empty at first, but for a shell's needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "chmod"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _apt(folder: Path, source: str) -> Path:
    log = folder.parent / "apt.log"
    (folder / "apt-get").write_text(source.format(log=log, bin=folder), encoding="utf-8")
    (folder / "apt-get").chmod(0o755)
    return log


def test_what_is_lacking_is_named_with_its_command(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the right to install, the command that a person must type is said, and it fails."""
    log = _apt(programs, APT)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.main(["bubblewrap"], install=True) == 1
    assert "sudo apt-get install -y bubblewrap" in capsys.readouterr().err
    assert not log.exists()


def test_what_is_lacking_is_installed_where_it_can_be(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As root on Debian the package lists are updated, the package is installed, and it passes."""
    log = _apt(programs, APT)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.main(["bubblewrap"], install=True) == 0
    assert [line.split()[1] for line in log.read_text(encoding="utf-8").splitlines()] == ["update", "install"]
    assert "lacks" not in capsys.readouterr().err


def test_an_installation_that_fails_is_not_passed_over(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where apt does not bring the program, it fails and the command is named after all."""
    _apt(programs, "#!/bin/sh\nexit 100\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.main(["bubblewrap"], install=True) == 1
    assert "apt-get install -y bubblewrap" in capsys.readouterr().err


def test_nothing_is_installed_where_nothing_is_lacking(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has the program is left alone."""
    log = _apt(programs, APT)
    (programs / "bwrap").symlink_to("/bin/sh")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.main(["bubblewrap"], install=True) == 0
    assert not log.exists()


def test_an_environment_is_set_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call makes it and installs, the second does nothing; a development one serves users too."""
    installs: list[list[str]] = []

    def install(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        installs.append(command)
        return subprocess.CompletedProcess(command, 0)

    def create(folder: Path, *, with_pip: bool, clear: bool) -> None:
        assert with_pip
        assert clear
        folder.mkdir()

    monkeypatch.setattr(setup, "VENV", tmp_path / "env")
    monkeypatch.setattr(setup.venv, "create", create)
    monkeypatch.setattr(setup.subprocess, "run", install)
    assert setup.main(dev=True) == 0
    assert setup.main(dev=True) == 0
    assert setup.main(dev=False) == 0
    assert len(installs) == 1
    assert any(word.startswith("pytest") for word in installs[0])
    assert not any(word.startswith("-i") or "://" in word for word in installs[0])


def test_a_failed_installation_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip fails the exit code is its own, and nothing says that the environment is ready."""

    def fail(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        return subprocess.CompletedProcess(command, 7)

    def create(folder: Path, *, with_pip: bool, clear: bool) -> None:
        assert folder == tmp_path
        assert with_pip
        assert clear

    monkeypatch.setattr(setup, "VENV", tmp_path)
    monkeypatch.setattr(setup.venv, "create", create)
    monkeypatch.setattr(setup.subprocess, "run", fail)
    assert setup.main(dev=False) == 7
    assert not list(tmp_path.glob("stamp-*"))


def test_a_failed_step_fails_the_check_and_hides_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every step runs, the last line names those that failed, and the exit code says so."""
    (tmp_path / "false").symlink_to("/bin/false")
    (tmp_path / "touch").symlink_to("/bin/touch")
    reached = tmp_path / "reached"
    monkeypatch.setattr(check, "BIN", tmp_path)
    monkeypatch.setattr(check, "STEPS", (("lint", "false"), ("tests", "touch", str(reached))))
    assert check.main() == 1
    assert reached.exists()
    assert capsys.readouterr().out.splitlines()[-1] == "Failed: lint"
    monkeypatch.setattr(check, "STEPS", (("tests", "touch", str(reached)),))
    assert check.main() == 0


def test_tests_run_last() -> None:
    """What a reader of CI sees at the end is pytest's own summary."""
    assert check.STEPS[-1][:2] == ("tests", "pytest")
