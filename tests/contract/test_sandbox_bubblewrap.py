"""What a command in the bubblewrap tier sees and can do: the boundary itself, looked at from inside."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.errors import Invalid, SandboxDown
from kernel.ports.sandbox import Bind, Bounds, Command, Finished

pytestmark = pytest.mark.anyio


async def run(
    place: Path,
    text: str,
    sandbox: BubblewrapSandbox | None = None,
    *,
    network: bool = False,
    bounds: Bounds | None = None,
) -> Finished:
    """A bash line with `place` as its writable workspace."""
    binds = (Bind(str(place), writable=True),)
    argv = ("/bin/bash", "-c", text)
    command = Command(argv, str(place), binds, network=network, bounds=bounds or Bounds(deadline_s=30))
    return await (sandbox or BubblewrapSandbox()).run(command)


async def said(
    place: Path,
    text: str,
    sandbox: BubblewrapSandbox | None = None,
    *,
    network: bool = False,
    bounds: Bounds | None = None,
) -> str:
    """What a bash line printed."""
    return (await run(place, text, sandbox, network=network, bounds=bounds)).output.decode()


async def test_a_command_has_no_capabilities_and_can_gain_none(tmp_path: Path) -> None:
    """All five sets are empty, and set-uid programs give nothing."""
    text = await said(tmp_path, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id -u")
    values = dict(line.split(":\t") for line in text.splitlines()[:-1])
    assert {name: int(value, 16) for name, value in values.items() if name.startswith("Cap")} == {
        f"Cap{kind}": 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")
    }
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"
    assert text.splitlines()[-1] == "65534"


async def test_only_its_own_processes_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our process nor its environment can be read through /proc."""
    monkeypatch.setenv("OXIOS_TEST_SECRET", "hunter2hunter2")
    text = await said(tmp_path, "ls /proc | grep -c '^[0-9]'; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'")
    count, _, rest = text.partition("\n")
    assert int(count) < 8
    assert "hunter2" not in rest
    assert sys.executable not in rest


HIDDEN = (
    *("/root", "/home", "/var", "/srv", "/opt", "/run", "/sys", "/boot", "/mnt", "/media"),
    *("/etc/shadow", "/etc/ssh", "/etc/gshadow", "/etc/sudoers", "/etc/machine-id", "/etc/resolv.conf"),
)


@pytest.mark.parametrize("path", HIDDEN)
async def test_the_rest_of_the_machine_is_not_there(tmp_path: Path, path: str) -> None:
    """Of the system, programs and libraries; of /etc, what those need; nothing else."""
    assert await said(tmp_path, f"ls -d {path} >/dev/null 2>&1 || echo absent") == "absent\n"


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/x", "/bin/x", "/dev/x", "/proc/sys/x", "/lib/x"])
async def test_the_system_cannot_be_written(tmp_path: Path, path: str) -> None:
    """Nothing can be made outside the workspace and the private /tmp."""
    assert await said(tmp_path, f"touch {path} 2>/dev/null || echo refused") == "refused\n"


async def test_settings_of_the_running_system_cannot_be_changed(tmp_path: Path) -> None:
    """As root, only the read-only mount stands between a command and the machine's own core_pattern."""
    looks = " ".join(
        f"[ -w {path} ] && echo {path};"
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger")
    )
    assert await said(tmp_path, f"{looks} true") == ""
    assert (
        await said(
            tmp_path,
            "find /proc -maxdepth 3 -path '/proc/[a-z]*' -not -path '/proc/self*' "
            "-not -path '/proc/thread-self*' -writable -exec test -f {} ';' -print 2>/dev/null",
        )
        == ""
    )


async def test_what_proc_tells_of_the_machine_is_covered(tmp_path: Path) -> None:
    """Kernel addresses, keys, timers and memory are empty files; load and memory size are there."""
    text = await said(
        tmp_path,
        "cat /proc/kallsyms /proc/keys /proc/timer_list /proc/kpagecount /proc/modules "
        "2>/dev/null | head -c 10; head -c 9 /proc/meminfo",
    )
    assert text == "MemTotal:"


async def test_tmp_is_private_bounded_and_gone_afterwards(tmp_path: Path) -> None:
    """It starts empty (but for the way to the workspace), holds so much and no more, and is not ours."""
    marker = Path("/tmp") / f"oxios-marker-{os.getpid()}"
    marker.touch()
    try:
        bounds = Bounds(tmp_bytes_max=1024 * 1024)
        text = await said(
            tmp_path,
            f"ls {marker} 2>/dev/null; touch /tmp/own-{marker.name}; "
            "head -c 1000000 /dev/zero > /tmp/fits && echo fits; "
            "head -c 2000000 /dev/zero > /tmp/big 2>/dev/null || echo full; "
            "head -c 99M /dev/zero > /dev/shm/big 2>/dev/null || echo full",
            bounds=bounds,
        )
    finally:
        marker.unlink()
    assert text == "fits\nfull\nfull\n"
    assert not _exists(f"/tmp/own-{marker.name}")


def _exists(path: str) -> bool:
    return Path(path).exists()


async def test_a_read_only_bind_cannot_be_written(tmp_path: Path) -> None:
    """What may only be read is only read, also by the owner of the files."""
    readable = tmp_path / "ro"
    readable.mkdir()
    (readable / "a").write_text("a")
    command = Command(
        ("/bin/bash", "-c", "cat a; echo x > a; rm -f a; touch b; true"),
        str(readable),
        (Bind(str(readable), writable=False),),
    )
    finished = await BubblewrapSandbox().run(command)
    assert finished.output.startswith(b"a")
    assert finished.output.count(b"Read-only") == 3
    assert (readable / "a").read_text() == "a"


@pytest.fixture
def server() -> Iterator[int]:
    """A listening socket on loopback: its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("network", "reached"), [(False, "no"), (True, "yes")])
async def test_the_network_is_there_only_where_it_is_given(
    tmp_path: Path, server: int, network: bool, reached: str
) -> None:
    """Without it not even this machine's loopback can be reached; with it, it can."""
    text = f"(exec 3<>/dev/tcp/127.0.0.1/{server}) 2>/dev/null && echo yes || echo no"
    assert await said(tmp_path, text, network=network) == f"{reached}\n"


async def test_the_kernels_home_is_not_seen_inside_the_workspace(tmp_path: Path) -> None:
    """A hidden directory in a bind is empty and closed; the rest of the bind is as it is."""
    home = tmp_path / ".oxios"
    home.mkdir()
    (home / "key").write_text("secret")
    (tmp_path / "a").write_text("seen\n")
    sandbox = BubblewrapSandbox([str(home)])
    text = await said(
        tmp_path,
        "cat a; cat .oxios/key 2>/dev/null; ls -A .oxios 2>/dev/null; "
        "touch .oxios/x 2>/dev/null; mv .oxios other 2>/dev/null; true",
        sandbox,
    )
    assert text == "seen\n"
    assert [entry.name for entry in home.iterdir()] == ["key"]


@pytest.mark.parametrize("inside", [".oxios", ".oxios/journal"])
async def test_a_bind_inside_the_kernels_home_is_refused(tmp_path: Path, inside: str) -> None:
    """No mount of a run can uncover it."""
    place = tmp_path / inside
    place.mkdir(parents=True)
    with pytest.raises(Invalid, match="kernel's home"):
        await said(place, "true", BubblewrapSandbox([str(tmp_path / ".oxios")]))


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/proc/self", "/dev"])
async def test_a_system_directory_is_no_workspace(place: str) -> None:
    """Binding the root or a part of the system would uncover it."""
    with pytest.raises(Invalid):
        await said(Path(place), "true")


@pytest.mark.parametrize("swapped", ["w", "w/sub"])
async def test_a_workspace_that_was_replaced_by_a_link_shows_nothing(tmp_path: Path, swapped: str) -> None:
    """Between the gate's decision and the start, somebody puts a link to another place there, or on the way."""
    (tmp_path / "other" / "sub").mkdir(parents=True)
    (tmp_path / "w" / "sub").mkdir(parents=True)
    place = tmp_path / swapped
    (tmp_path / "w").rename(tmp_path / "gone") if swapped == "w" else place.rmdir()
    place.symlink_to(tmp_path / "other")
    with pytest.raises(Invalid, match="replaced by a link"):
        await said(tmp_path / "w" / "sub", "ls")


async def test_a_directory_outside_the_binds_is_no_cwd(tmp_path: Path) -> None:
    """It is refused in words before anything starts."""
    with pytest.raises(Invalid, match="not in the workspace"):
        await BubblewrapSandbox().run(Command(("true",), "/usr", (Bind(str(tmp_path), writable=True),)))


PROBES = {
    "a user namespace": "unshare -U true",
    "a mount": "mount -t tmpfs none /tmp",
    "a keyring": "python3 -c 'import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
    "raise SystemExit(libc.syscall(NUMBER_KEYCTL, 0, -3, 0) < 0)'",
    "a socket to the hypervisor": "python3 -c 'import socket; socket.socket(40, 1)'",
    "a process's memory by clone into a namespace": "python3 -c 'import ctypes; libc = ctypes.CDLL(None); "
    "raise SystemExit(libc.syscall(NUMBER_CLONE, 0x10000011, 0, 0, 0, 0) < 0)'",
}
NUMBERS = {"x86_64": ("250", "56"), "aarch64": ("219", "220")}


@pytest.mark.parametrize("probe", PROBES)
async def test_the_filter_refuses(tmp_path: Path, probe: str) -> None:
    """The seccomp filter ends the way to kernel code that a command has no business with."""
    keyctl, clone = NUMBERS[os.uname().machine]
    text = PROBES[probe].replace("NUMBER_KEYCTL", keyctl).replace("NUMBER_CLONE", clone)
    finished = await run(tmp_path, text)
    assert finished.exit_code != 0
    assert b"Traceback" not in finished.output or b"PermissionError" in finished.output


async def test_ordinary_programs_run_under_the_filter(tmp_path: Path) -> None:
    """Threads, subprocesses, pipes, sockets of a pair and clocks are untouched."""
    program = (
        "import threading, subprocess, socket, tempfile, time\n"
        "thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()\n"
        "print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n"
        "a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9).decode())\n"
        "tempfile.TemporaryFile().write(b'x'); time.sleep(0.001); print('end')\n"
    )
    (tmp_path / "p.py").write_text(program)
    assert await said(tmp_path, "python3 p.py") == "thread\nchild\npair\nend\n"


async def test_values_of_variables_are_on_no_command_line(tmp_path: Path) -> None:
    """Other users of the machine can list command lines: the environment travels by descriptor."""
    lines: list[str] = []
    os.mkfifo(tmp_path / "wait")
    wait = os.open(tmp_path / "wait", os.O_RDWR)

    def look(_piece: bytes) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                lines.append((process / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
        os.write(wait, b"\n")

    command = Command(
        ("/bin/bash", "-c", "echo up; read < wait"),
        str(tmp_path),
        (Bind(str(tmp_path), writable=True),),
        env={"TOKEN": "value-that-nobody-may-list"},
    )
    try:
        await BubblewrapSandbox().run(command, look)
    finally:
        os.close(wait)
    assert any("bwrap" in line for line in lines)
    assert not any("value-that-nobody-may-list" in line for line in lines)


async def test_without_bubblewrap_nothing_runs(tmp_path: Path) -> None:
    """Never silently weaker: the command is refused, with the way to install it, and the probe says the same."""
    sandbox = BubblewrapSandbox(program="bwrap-that-is-not-there")
    with pytest.raises(SandboxDown) as refused:
        await said(tmp_path, "touch ran", sandbox)
    assert "apt-get install bubblewrap" in refused.value.remedy
    found = await sandbox.probe()
    assert (found.works, found.remedy) == (False, refused.value.remedy)
    assert list_names(tmp_path) == []


def list_names(place: Path) -> list[str]:
    return sorted(entry.name for entry in place.iterdir())


async def test_a_machine_without_descriptors_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is refused with what to look at, and nothing of it stays open."""

    def none_left(name: str) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = list_names(Path("/proc/self/fd"))
    monkeypatch.setattr(os, "memfd_create", none_left)
    with pytest.raises(SandboxDown, match="Too many open files") as refused:
        await said(tmp_path, "true", BubblewrapSandbox())
    assert "open files" in refused.value.remedy
    assert len(list_names(Path("/proc/self/fd"))) == len(before)


_DIES_EARLY = (
    "until [ $1 = --json-status-fd ]; do shift; done; true & child=$!; wait; "
    'echo "{ \\"child-pid\\": $child }" >&$2; echo "bwrap: setting up uid map: Operation not permitted" >&2; exit 1'
)
"""As where the kernel runs as root without CAP_SETFCAP: process 1 is gone before anybody can take hold of it."""


@pytest.mark.parametrize(
    "script", ["echo 'bwrap: no permission to make namespaces' >&2; exit 1", "exit 0", "kill -9 $$", _DIES_EARLY]
)
async def test_a_bubblewrap_that_fails_is_told_with_its_reason(tmp_path: Path, script: str) -> None:
    """A machine that forbids namespaces is named as the reason; an end without a command is never a success."""
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/bash\n{script}\n")
    fake.chmod(stat.S_IRWXU)
    sandbox = BubblewrapSandbox(program=str(fake))
    with pytest.raises(SandboxDown, match="cannot confine") as refused:
        await said(tmp_path, "true", sandbox)
    assert "sandbox.tier" in refused.value.remedy
    assert not (await sandbox.probe()).works
