"""Commands that are given up, or whose kernel is killed, while their sandbox is only being set up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from kernel.adapters.sandbox import launcher
from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.adapters.sandbox.confine import PATH
from kernel.adapters.sandbox.memory import memory_file
from kernel.adapters.sandbox.none import NoSandbox
from kernel.ports.sandbox import Bind, Command, Sandbox

STEP_S = 0.0008
GONE_S = 10.0


def processes_with(mark: str) -> Iterator[str]:
    """The command lines of processes that name the mark."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line and "pytest" not in line.split(mark)[0]:
            yield f"{process.name} {line}"


async def all_gone(mark: str) -> list[str]:
    """What is still there of them when they had time to die."""
    left = list(processes_with(mark))
    with anyio.move_on_after(GONE_S):
        while left:
            await anyio.sleep(0.02)  # death after a kill is not told to strangers
            left = list(processes_with(mark))
    return left


@pytest.mark.anyio
@pytest.mark.parametrize("sandbox", [BubblewrapSandbox(), NoSandbox()], ids=["bubblewrap", "none"])
async def test_a_command_that_is_cancelled_at_any_moment_of_its_start_leaves_nothing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Forty cancellations, each a little later than the one before, and no process is left."""
    mark = f"mark-{tmp_path.name}-{id(tmp_path)}"
    line = f": {mark}; exec sleep 777"
    command = Command(("/bin/bash", "-c", line), str(tmp_path), (Bind(str(tmp_path), writable=True),))
    for attempt in range(40):
        with anyio.move_on_after(attempt * STEP_S):
            await sandbox.run(command)
    assert await all_gone(mark) == []


def test_a_launcher_that_is_told_to_end_many_times_over_leaves_nothing(tmp_path: Path) -> None:
    """Each SIGTERM may come while it still obeys the one before."""
    mark = f"mark-{tmp_path.name}-{id(tmp_path)}"
    line = f"(setsid bash -c 'exec -a {mark} sleep 777' &) ; echo up; exec sleep 777"
    for _ in range(20):
        order = memory_file(json.dumps(launcher_order(line)).encode())
        command = [sys.executable, "-I", "-S", launcher.__file__, str(order)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(order,), env={}) as process:
            os.close(order)
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            while process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            assert process.returncode == 128 + signal.SIGTERM
        assert list(processes_with(mark)) == []


def launcher_order(line: str) -> launcher.Order:
    """A bash line, without limits."""
    return {"argv": ["/bin/bash", "-c", line], "cwd": "/", "env": {"PATH": PATH}, "parent": os.getpid(), "limits": {}}


def test_a_kernel_that_is_killed_while_its_commands_start_leaves_nothing(tmp_path: Path) -> None:
    """However early the kill comes: neither the command, nor a sandbox that waits for a dead parent."""
    program = """
        import anyio, os, signal, sys, threading, time
        from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
        from kernel.ports.sandbox import Bind, Command
        place, mark = sys.argv[1], sys.argv[2]
        command = Command(("/bin/bash", "-c", f": {mark}; exec sleep 777"), place, (Bind(place, writable=True),))

        async def main(after_s):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(BubblewrapSandbox().run, command)
                await anyio.lowlevel.checkpoint()
                threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

        for step in range(12):
            if os.fork() == 0:
                anyio.run(main, 0.0015 * step)
            os.wait()
    """
    mark = f"mark-{tmp_path.name}-{id(tmp_path)}"
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), mark],
        timeout=60,
        check=False,
        capture_output=True,
        cwd=Path.cwd(),
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert anyio.run(all_gone, mark) == []
