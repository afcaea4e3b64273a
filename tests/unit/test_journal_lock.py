"""One kernel a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.errors import InstanceLocked
from kernel.journal.lock import instance_lock

_ROOT = Path(__file__).resolve().parents[2]
_TAKE = "import sys; from pathlib import Path; from kernel.journal.lock import instance_lock\n"
_TRY = _TAKE + "with instance_lock(Path(sys.argv[1])): print('taken')"
_HOLD = _TAKE + "with instance_lock(Path(sys.argv[1])): print('taken', flush=True); sys.stdin.read()"


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """While one process holds the home another is told which one it is; afterwards it gets it."""
    with instance_lock(tmp_path / "home"):
        refused = subprocess.run(
            [sys.executable, "-c", _TRY, str(tmp_path / "home")], cwd=_ROOT, capture_output=True, text=True, check=False
        )
        assert refused.returncode != 0
        assert f"InstanceLocked: another Oxios works in {tmp_path / 'home'}: process {os.getpid()}" in refused.stderr
    taken = subprocess.run(
        [sys.executable, "-c", _TRY, str(tmp_path / "home")], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert taken.stdout == "taken\n"


def test_a_killed_holder_leaves_the_home_free(tmp_path: Path) -> None:
    """After the holder dies, however, the home can be taken at once, its old pid standing in the file."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "taken\n"
    with pytest.raises(InstanceLocked, match=f"process {holder.pid}") as refused, instance_lock(tmp_path):
        pytest.fail("two holders")
    assert str(holder.pid) in refused.value.remedy
    holder.kill()
    holder.wait(10)
    holder.stdin.close()
    holder.stdout.close()
    with instance_lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_one_process_cannot_take_it_twice(tmp_path: Path) -> None:
    """The lock holds within a process too, and the file is private."""
    with instance_lock(tmp_path):
        with pytest.raises(InstanceLocked), instance_lock(tmp_path):
            pytest.fail("taken twice")
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A lock file that points elsewhere is an error, not a file to be written."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstanceLocked, match="cannot be opened"), instance_lock(tmp_path):
        pytest.fail("followed a link")
    assert not (tmp_path / "elsewhere").exists()
