"""What every sandbox tier keeps: bounds, environment, the end of the tree. Run over each tier."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest

from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.adapters.sandbox.none import NoSandbox
from kernel.errors import NotFound
from kernel.ports.sandbox import Bind, Bounds, Command, Finished, Sandbox, StoppedBy

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture(params=["bubblewrap", "none"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each tier."""
    return BubblewrapSandbox() if request.param == "bubblewrap" else NoSandbox()


def line(place: Path, text: str, bounds: Bounds | None = None, stdin: bytes = b"") -> Command:
    """A bash line in `place`, which it may write."""
    bounds = bounds or Bounds(deadline_s=30)
    binds = (Bind(str(place), writable=True),)
    return Command(("/bin/bash", "-c", text), str(place), binds, stdin=stdin, bounds=bounds)


async def output(sandbox: Sandbox, command: Command) -> str:
    """What it printed, where it ended well."""
    finished = await sandbox.run(command)
    assert (finished.exit_code, finished.stopped_by) == (0, ""), finished
    return finished.output.decode()


def held_by_nobody(fifo: Path) -> bool:
    """Whether no process has the fifo open for reading: then the process that did is dead."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.ENXIO
    return False


async def test_it_returns_what_was_printed_and_the_exit_code(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both streams come back in order, with the code, the tier and the time taken."""
    finished = await sandbox.run(line(tmp_path, "echo out; echo err >&2; echo out; exit 3"))
    assert finished.output == b"out\nerr\nout\n"
    assert finished.exit_code == 3
    assert finished.duration_ms > 0
    assert not finished.truncated


async def test_a_signal_is_told_as_shells_do(sandbox: Sandbox, tmp_path: Path) -> None:
    """128 and the number of the signal."""
    assert (await sandbox.run(line(tmp_path, "kill -KILL $$"))).exit_code == 137


async def test_it_reads_its_standard_input_and_no_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """Given bytes arrive whole; without any, the input is at its end."""
    big = b"0123456789" * 50_000
    finished = await sandbox.run(line(tmp_path, "cat", stdin=big))
    assert finished.output == big
    assert await output(sandbox, line(tmp_path, "cat")) == ""


async def test_input_that_nobody_reads_is_no_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """A command that ends before it read its input has its own exit code."""
    assert (await sandbox.run(line(tmp_path, "exit 5", stdin=b"x" * MIB))).exit_code == 5


async def test_output_is_reported_while_it_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    """The listener hears the pieces that make up the output, before the end."""
    heard: list[bytes] = []
    finished = await sandbox.run(line(tmp_path, "echo one; read; echo two", stdin=b"\n"), heard.append)
    assert b"".join(heard) == finished.output == b"one\ntwo\n"


async def test_the_environment_is_the_named_variables_only(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of our own environment is seen; what the sandbox sets itself cannot be overridden."""
    monkeypatch.setenv("OXIOS_TEST_SECRET", "hunter2hunter2")
    command = Command(
        ("/usr/bin/env",), str(tmp_path), (Bind(str(tmp_path), writable=False),), env={"A": "é=1", "HOME": "/x"}
    )
    found = dict(text.split("=", 1) for text in (await output(sandbox, command)).splitlines())
    assert found.pop("A") == "é=1"
    assert set(found) <= {"PATH", "HOME", "LANG", "TERM", "PWD"}
    assert found["HOME"] != "/x"


async def test_no_descriptor_of_ours_is_inherited(sandbox: Sandbox, tmp_path: Path) -> None:
    """Even an inheritable one stays outside: the command has its three streams, and what `ls` itself opens."""
    ours = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(ours, True)
    try:
        for stdin in (b"", b"given"):
            listed = await output(sandbox, line(tmp_path, "ls /proc/self/fd", stdin=stdin))
            assert listed.split() == ["0", "1", "2", "3"]
    finally:
        os.close(ours)


async def test_the_deadline_ends_the_whole_tree(sandbox: Sandbox, tmp_path: Path) -> None:
    """Children, a daemon that forked twice into its own session, and one immune to hang-ups all die."""
    for name in ("child", "daemon", "nohup"):
        os.mkfifo(tmp_path / name)
    text = """
        cat child & (setsid bash -c 'trap "" TERM HUP; exec 3<>daemon; cat <&3' &)
        nohup bash -c 'exec 3<>nohup; cat <&3' & exec sleep 600"""
    finished = await sandbox.run(line(tmp_path, text, Bounds(deadline_s=1)))
    assert finished.stopped_by == "deadline"
    assert finished.duration_ms < 10_000
    assert all(held_by_nobody(tmp_path / name) for name in ("child", "daemon", "nohup"))


async def test_what_a_command_leaves_running_dies_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """A daemon does not outlive the command that started it, whatever its session and environment."""
    os.mkfifo(tmp_path / "fifo")
    text = "(env -i setsid bash -c 'exec 3<>fifo; echo up; cat <&3' &) ; sleep 0.2; echo done"
    assert "done" in await output(sandbox, line(tmp_path, text))
    assert held_by_nobody(tmp_path / "fifo")


async def test_cancelling_ends_the_whole_tree(sandbox: Sandbox, tmp_path: Path) -> None:
    """When the agent is cancelled, nothing it ran is left when the cancellation is over."""
    os.mkfifo(tmp_path / "fifo")
    heard = anyio.Event()
    async with anyio.create_task_group() as group:

        async def run() -> None:
            text = "(setsid bash -c 'exec 3<>fifo; echo up; cat <&3' &) ; sleep 600"
            await sandbox.run(line(tmp_path, text), lambda _piece: heard.set())

        group.start_soon(run)
        with anyio.fail_after(20):
            await heard.wait()
        group.cancel_scope.cancel()
    assert held_by_nobody(tmp_path / "fifo")


@pytest.mark.parametrize("name", ["BubblewrapSandbox", "NoSandbox"])
def test_the_tree_dies_with_a_kernel_that_is_killed(name: str, tmp_path: Path) -> None:
    """Killing the process that runs a command with -9 takes the command along, daemons included."""
    os.mkfifo(tmp_path / "fifo")
    module = "bubblewrap" if name == "BubblewrapSandbox" else "none"
    program = f"""
        import anyio, sys
        from kernel.adapters.sandbox.{module} import {name}
        from kernel.ports.sandbox import Bind, Command
        line = "(setsid bash -c 'exec 3<>fifo; echo up; cat <&3' &) ; sleep 600"
        command = Command(("/bin/bash", "-c", line), sys.argv[1], (Bind(sys.argv[1], writable=True),))
        anyio.run({name}().run, command, lambda piece: print("up", flush=True))
    """
    kernel = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    with kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == b"up\n"
        kernel.kill()
    # A reader that is still alive keeps this from ever being true; the death of one takes some milliseconds.
    ended = subprocess.run(
        ["/bin/bash", "-c", f"until ! timeout 0.1 bash -c 'echo > {tmp_path}/fifo'; do :; done"],
        timeout=20,
        check=False,
        stderr=subprocess.DEVNULL,
    )
    assert ended.returncode == 0
    assert held_by_nobody(tmp_path / "fifo")


OVER: list[tuple[str, Bounds, StoppedBy]] = [
    ("yes", Bounds(output_bytes_max=10_000, deadline_s=30), "output"),
    ("for i in {1..40}; do sleep 600 & done; wait", Bounds(processes_max=30, deadline_s=30), "processes"),
    (
        "for i in {1..6}; do head -c 8M /dev/zero > big$i; done; sleep 600",
        Bounds(workspace_bytes_max=30 * MIB, deadline_s=60),
        "workspace",
    ),
    (
        'for i in {3..8}; do eval "exec $i> big; rm big; head -c 8M /dev/zero >&$i"; done; sleep 600',
        Bounds(workspace_bytes_max=30 * MIB, deadline_s=20),
        "workspace",
    ),
    ("for i in {1..600}; do : > f$i; done; sleep 600", Bounds(workspace_files_max=500, deadline_s=60), "workspace"),
]
UNDER: list[tuple[str, Bounds]] = [
    ("head -c 10000 /dev/zero", Bounds(output_bytes_max=10_000)),
    ("for i in {1..20}; do sleep 0.3 & done; wait", Bounds(processes_max=30)),
    ("for i in {1..2}; do head -c 8M /dev/zero > big$i; done; sleep 0.2", Bounds(workspace_bytes_max=30 * MIB)),
    (
        'for i in {3..4}; do eval "exec $i> big; rm big; head -c 8M /dev/zero >&$i"; done; sleep 0.2',
        Bounds(workspace_bytes_max=30 * MIB),
    ),
    ("for i in {1..300}; do : > f$i; done; sleep 0.2", Bounds(workspace_files_max=500)),
]


@pytest.mark.parametrize(("text", "bounds", "stopped_by"), OVER, ids=[f"{one[2]}-{n}" for n, one in enumerate(OVER)])
async def test_a_tree_that_passes_a_bound_is_stopped_and_that_is_named(
    sandbox: Sandbox, tmp_path: Path, text: str, bounds: Bounds, stopped_by: StoppedBy
) -> None:
    """Output, processes, bytes and files of the workspace: each ends the tree and is told."""
    finished = await sandbox.run(line(tmp_path, text, bounds))
    assert finished.stopped_by == stopped_by
    assert len(finished.output) <= bounds.output_bytes_max
    assert finished.truncated is (stopped_by == "output")


@pytest.mark.parametrize(("text", "bounds"), UNDER, ids=range(len(UNDER)))
async def test_a_tree_within_its_bounds_is_left_alone(
    sandbox: Sandbox, tmp_path: Path, text: str, bounds: Bounds
) -> None:
    """Just under each bound nothing happens."""
    finished = await sandbox.run(line(tmp_path, text, bounds))
    assert (finished.exit_code, finished.stopped_by, finished.truncated) == (0, "", False)


async def test_growth_by_others_before_the_start_is_not_charged(sandbox: Sandbox, tmp_path: Path) -> None:
    """A workspace that is already over the bound does not stop a command that adds nothing."""
    for number in range(30):
        (tmp_path / f"old{number}").write_bytes(b"x" * 100_000)
    bounds = Bounds(workspace_bytes_max=MIB, workspace_files_max=10)
    assert await output(sandbox, line(tmp_path, "ls | wc -l; sleep 0.1", bounds)) == "30\n"


ALLOCATE = "import sys; held = bytearray({size} * 2**20); print(len(held)); sys.stdin.read()"


@pytest.mark.parametrize(("mib", "fits"), [(40, True), (120, False)])
async def test_one_process_may_not_use_more_memory_than_the_bound(
    sandbox: Sandbox, tmp_path: Path, mib: int, fits: bool
) -> None:
    """An allocation beyond the bound fails in the process that makes it."""
    python = ("/usr/bin/env", "python3", "-c", ALLOCATE.format(size=mib))
    command = Command(
        python, str(tmp_path), (Bind(str(tmp_path), writable=True),), bounds=Bounds(memory_bytes_max=90 * MIB)
    )
    finished = await sandbox.run(command)
    assert (finished.exit_code == 0) is fits, finished.output
    assert (b"MemoryError" in finished.output) is not fits


async def test_many_processes_together_may_not_use_more_memory_than_the_bound(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each is under the bound, all together are not: the tree is stopped."""
    text = f"for i in 1 2 3; do tail -f /dev/null | python3 -c '{ALLOCATE.format(size=50)}' & done; wait"
    finished = await sandbox.run(line(tmp_path, text, Bounds(memory_bytes_max=100 * MIB, deadline_s=60)))
    assert finished.stopped_by == "memory"


async def test_descriptors_and_file_size_are_bounded(sandbox: Sandbox, tmp_path: Path) -> None:
    """The operating system refuses the descriptor and the byte beyond."""
    bounds = Bounds(descriptors_max=40, workspace_bytes_max=2 * MIB)
    assert await output(sandbox, line(tmp_path, "ulimit -n; ulimit -c", bounds)) == "40\n0\n"
    finished = await sandbox.run(line(tmp_path, "truncate -s 3M sparse", bounds))
    assert finished.exit_code != 0
    assert (await sandbox.run(line(tmp_path, "truncate -s 2M sparse", bounds))).exit_code == 0


@pytest.mark.parametrize("argv", [("no-such-program-here",), ("",), ()])
async def test_a_program_that_is_not_there_is_not_found(
    sandbox: Sandbox, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    """It is an error before anything starts, and says where programs are looked up."""
    with pytest.raises(NotFound):
        await sandbox.run(Command(argv, str(tmp_path), (Bind(str(tmp_path), writable=True),)))


async def test_a_script_that_cannot_run_ends_as_in_a_shell(sandbox: Sandbox, tmp_path: Path) -> None:
    """A missing file by path and a file without the right to run are exit codes, not crashes of ours."""
    (tmp_path / "plain").write_text("x")
    for name in ("./missing", "./plain"):
        finished = await sandbox.run(Command((name,), str(tmp_path), (Bind(str(tmp_path), writable=True),)))
        assert finished.exit_code == (127 if name == "./missing" else 126)
        assert name.encode() in finished.output


async def test_files_it_makes_belong_to_us(sandbox: Sandbox, tmp_path: Path) -> None:
    """What a command leaves in the workspace is the user's own, to read, change and delete."""
    await output(sandbox, line(tmp_path, "mkdir d && echo x > d/f && chmod 600 d/f"))
    status = (tmp_path / "d/f").stat()
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    assert (tmp_path / "d/f").read_text() == "x\n"


async def test_the_probe_says_that_it_works_and_why(sandbox: Sandbox) -> None:
    """A process really started, in the tier it names."""
    found = await sandbox.probe()
    assert found.works
    assert found.reason


async def test_parallel_commands_do_not_disturb_each_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """Several at once each get their own output and end."""
    found: dict[int, Finished] = {}

    async def run(number: int) -> None:
        found[number] = await sandbox.run(line(tmp_path, f"echo {number}; exit {number}"))

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(run, number)
    assert {number: one.exit_code for number, one in found.items()} == {number: number for number in range(6)}
    assert all(one.output == f"{number}\n".encode() for number, one in found.items())
