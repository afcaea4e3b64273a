"""A hostile command in the bubblewrap tier: ways around its bounds and out of its box."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.ports.sandbox import Bind, Bounds, Command, Finished

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
MAPPED = "import mmap, os, time\nm = mmap.mmap(-1, {size})\nfor at in range(0, {size}, 4096): m[at] = 1\n"
SYSTEM_V = (
    "import ctypes, time\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
    "place = libc.shmat(libc.shmget(0, {size}, 0o1600), None, 0)\nctypes.memset(place, 1, {size})\n"
)
FORKED = MAPPED + "for _ in range(3): os.fork()\nfor at in range(0, {size}, 4096): m[at] = 2\n"


async def python(place: Path, program: str, bounds: Bounds | None = None) -> Finished:
    """A program of the sandbox's own Python, in `place`."""
    argv = ("python3", "-c", program)
    command = Command(argv, str(place), (Bind(str(place), writable=True),), bounds=bounds or Bounds(deadline_s=30))
    return await BubblewrapSandbox().run(command)


def with_set_id(place: Path) -> list[str]:
    """The files that run as their owner or group, whoever starts them."""
    return [each.name for each in place.iterdir() if each.stat().st_mode & 0o6000]


@pytest.mark.parametrize("program", [MAPPED, SYSTEM_V], ids=["mapped", "system-v"])
async def test_shared_memory_counts_to_the_memory_bound(tmp_path: Path, program: str) -> None:
    """Memory that could be shared is no way around the bound."""
    program = program.format(size=160 * MIB) + "time.sleep(600)"
    bounds = Bounds(memory_bytes_max=96 * MIB, deadline_s=30)
    assert (await python(tmp_path, program, bounds)).stopped_by == "memory"


async def test_memory_that_several_processes_share_counts_once(tmp_path: Path) -> None:
    """Eight processes with one 40 MiB mapping use 40 MiB, not 320."""
    program = FORKED.format(size=40 * MIB) + "time.sleep(0.3)"
    bounds = Bounds(memory_bytes_max=200 * MIB, deadline_s=30)
    finished = await python(tmp_path, program, bounds)
    assert (finished.exit_code, finished.stopped_by) == (0, "")


async def test_there_are_no_files_that_lie_in_memory_alone(tmp_path: Path) -> None:
    """Nothing would count them while nobody maps them; programs fall back as on an old kernel."""
    finished = await python(tmp_path, "import os\ntry: os.memfd_create('x')\nexcept OSError as e: print(e.errno)")
    assert finished.output == b"38\n"


async def test_a_socket_in_the_workspace_is_a_network_too(tmp_path: Path) -> None:
    """What listens there, outside, is not reached without the network; a socket of its own works."""
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        program = (
            "import socket, os\nmine = socket.socket(socket.AF_UNIX); mine.bind('mine'); mine.listen()\n"
            "for name in 's', 'mine':\n"
            "    try: socket.socket(socket.AF_UNIX).connect(name); print(name, 'reached')\n"
            "    except OSError: print(name, 'refused')\n"
            "try: os.rename('s', 't')\nexcept OSError: print('stays')\n"
        )
        assert (await python(tmp_path, program)).output == b"s refused\nmine reached\nstays\n"
    assert place.is_socket()


async def test_the_first_process_of_the_sandbox_cannot_be_entered(tmp_path: Path) -> None:
    """Process 1 runs without the filter: it can be neither traced nor read, nor robbed of descriptors; others can."""
    program = (
        "import ctypes, os, time\nlibc = ctypes.CDLL(None)\n"
        "print(os.listdir('/proc/1'), libc.ptrace(16, 1, 0, 0), libc.syscall(434, 1, 0))\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(600)\n"
        "print(libc.ptrace(16, child, 0, 0), libc.syscall(434, child, 0) > 0)\n"
    )
    assert (await python(tmp_path, program)).output == b"[] -1 -1\n0 True\n"


@pytest.mark.parametrize(
    "attempt",
    [
        "os.chmod('x', 0o4755)",
        "os.chmod('x', 0o2755)",
        "os.fchmod(os.open('x', os.O_RDONLY), 0o4755)",
        "os.chmod('x', 0o4755, dir_fd=os.open('.', os.O_RDONLY))",
        "os.open('y', os.O_CREAT | os.O_WRONLY, 0o4755)",
        "os.mknod('y', 0o104755)",
        "ctypes.CDLL(None).creat(b'y', 0o4755)",
        "ctypes.CDLL(None).syscall(452, -100, b'x', 0o4755, 0)",
        "ctypes.CDLL(None).syscall(437, -100, b'y', struct.pack('QQQ', 0o101, 0o4755, 0), 24)",
    ],
)
async def test_no_program_of_ours_is_made_to_run_as_us_for_others(tmp_path: Path, attempt: str) -> None:
    """Files made inside are ours outside: with a set-user-ID bit anybody on the machine would become us."""
    (tmp_path / "x").touch(0o755)
    await python(tmp_path, f"import ctypes, os, struct\n{attempt}\n")
    assert with_set_id(tmp_path) == []


async def test_other_modes_are_given_as_always(tmp_path: Path) -> None:
    """Permissions and the sticky bit are a command's own business, and opening says nothing of modes."""
    program = (
        "import os\nos.mkdir('d'); os.chmod('d', 0o1777)\nos.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o640))\n"
    )
    assert (await python(tmp_path, program + "os.chmod('f', 0o750); open('f').read()")).exit_code == 0
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o1777
