"""The systemd unit: what it says, and that systemd itself finds nothing wrong with it."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from oxios.__main__ import main
from oxios.session import operator

WHICH = ("--user", "--system")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "a home with 100% spaces"
    monkeypatch.setenv("OXIOS_HOME", str(made))
    return made


def _unit(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["serve", "--write-unit", "--output", "-", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_finds_nothing_wrong(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    """`systemd-analyze verify` reads every line, with a home whose name needs quoting."""
    path = tmp_path / "oxios.service"
    path.write_text(_unit(capsys, which, "--port", "4201"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", which, str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "oxios.service" in line]
    assert (done.returncode, told) == (0, []), done.stderr


def test_the_unit_serves_the_home_with_the_flags_given(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Home and settings stand in it, quoted so that systemd expands nothing of them."""
    text = _unit(capsys, "--port", "4201", "--set", "log.level=info")
    assert 'Environment="OXIOS_HOME=' + str(home).replace("%", "%%") + '"' in text
    assert '"--set" "log.level=info" "--set" "server.port=4201"' in text
    assert "Type=notify" in text
    assert "User=" not in text
    assert "User=" in _unit(capsys, "--system")


@pytest.mark.parametrize("uid", [0, 1000])
def test_commands_of_agents_can_run_in_the_unit(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    """Nothing in it takes from bubblewrap what it needs (of root: one capability), nor hides the caller's /tmp."""
    monkeypatch.setattr(os, "getuid", lambda: uid)
    options = dict(line.split("=", 1) for line in _unit(capsys, "--system").splitlines() if "=" in line)
    assert options["CapabilityBoundingSet"] == ("" if uid else "CAP_SETFCAP")
    assert "AF_NETLINK" in options["RestrictAddressFamilies"]
    assert not options.keys() & {
        "MemoryDenyWriteExecute", "PrivateDevices", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectHostname",
        "ProtectKernelLogs", "ProtectKernelTunables", "ProtectProc", "RestrictNamespaces", "SystemCallFilter",
    }  # fmt: skip


@pytest.mark.parametrize("which", WHICH)
def test_a_command_that_memory_ran_out_for_does_not_end_the_server(
    home: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    """Otherwise systemd stops a service of which one process was killed for want of memory."""
    assert "\nOOMPolicy=continue\n" in _unit(capsys, which)


def test_a_user_without_a_name_is_named_by_number(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container of any uid there is no line in /etc/passwd for it: the unit and the operator have the number."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(getpass, "getuser", unknown)
    assert "\nUser=12345\n" in _unit(capsys, "--system")
    assert operator() == "user:12345"


def test_a_unit_of_one_s_own_is_not_overwritten(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same again is no change; other contents are refused and stay."""
    path = tmp_path / "units" / "oxios.service"
    assert main(["serve", "--write-unit", "--output", str(path)]) == 0
    assert main(["serve", "--write-unit", "--output", str(path)]) == 0
    path.write_text("mine")
    assert main(["serve", "--write-unit", "--output", str(path)]) == 1
    assert path.read_text() == "mine"
    assert "differs" in capsys.readouterr().err
    assert not home.exists()
