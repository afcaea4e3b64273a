"""What a sandboxed command sees, as bubblewrap's options.

Guarantees: of the system only programs and libraries (read-only), the few files of /etc that they
need, and a /proc of its own; of the user's files only the given directories; a private /tmp; no
network, other processes, capabilities or environment unless given. Of a directory that contains a
hidden place (the kernel's home, what `paths.denied` names), everything but that place: see `covers`.

Does not protect against reading what stands world-readable in /usr, nor, without the network, against
talking to a Unix socket in the workspace that was bound by a relative path or in another network
namespace (the system does not tell where those are; others are covered). With the network shared, the
host's abstract Unix sockets can be reached as well (they belong to the network namespace).

Source: bwrap(1); RFC-0004.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from kernel.adapters.sandbox import covers
from kernel.errors import Invalid
from kernel.ports.sandbox import Bind, Command

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME: Final = "/tmp"  # noqa: S108 -- the sandbox's own /tmp, which nobody else sees
SHELL: Final = "/bin/bash"
FIXED_ENV: Final = {"PATH": PATH, "HOME": HOME, "LANG": "C.UTF-8", "TERM": "dumb"}
UID: Final = 65_534

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC: Final = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/services",
)
_ETC_NETWORK: Final = (
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
_SHM_BYTES: Final = 64 * 1024 * 1024
_NOT_BINDABLE: Final = ("/", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev")

# Of /proc a command gets these, its own processes and a read-only /proc/sys; the rest is covered. As
# root, the user of the sandbox is the machine's root without capabilities, and what guards files
# such as /proc/sys/kernel/core_pattern is their owner alone (measured: it could be written).
_PROC_SHOWN: Final = frozenset(
    {"cgroups", "cpuinfo", "devices", "filesystems", "loadavg", "meminfo", "stat", "swaps", "uptime", "version"}
    | {"vmstat"}
)
PASSWD: Final = f"agent:x:{UID}:{UID}:agent:{HOME}:{SHELL}\n".encode()
GROUP: Final = f"agent:x:{UID}:\n".encode()


def check_binds(command: Command, hidden: Sequence[str]) -> None:
    """Raises: Invalid, where a bind would uncover the system or a hidden place, or holds no cwd."""
    for bind in command.binds:
        real = os.path.realpath(bind.path)
        if real != os.path.normpath(bind.path):
            # What the gate allowed was a directory; what lies behind the link, nobody looked at.
            raise Invalid(
                f"{bind.path} leads to {real} now: it was replaced by a link",
                remedy="make it a directory again, or name the real one",
            )
        if real in _NOT_BINDABLE or real.startswith(("/proc/", "/sys/", "/dev/")):
            raise Invalid(
                f"{bind.path} cannot be the workspace of a sandboxed command",
                remedy="choose a directory of your own, not one of the system's",
            )
        if any(covers.holds(os.path.realpath(place), real) for place in hidden):
            raise Invalid(
                f"{bind.path} lies in the kernel's home, or in what paths.denied names",
                remedy="choose a directory outside it",
            )
    if not any(covers.holds(bind.path, command.cwd) for bind in command.binds):
        raise Invalid(f"{command.cwd} is not in the workspace", remedy="choose a cwd below the workspace")


def options(command: Command, hidden: Sequence[str]) -> list[str]:
    """Everything up to the command itself, but for what names a descriptor."""
    found = ["--unshare-all", "--unshare-user", "--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"]
    found += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    if command.network:
        found += ["--share-net"]
    for name, value in {**command.env, **FIXED_ENV}.items():
        found += ["--setenv", name, value]
    found += ["--perms", "0755", "--dir", "/etc", *_system(network=command.network)]
    found += ["--proc", "/proc", *_proc_covers()]
    found += ["--dev", "/dev", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108 -- its own
    found += ["--size", str(command.bounds.tmp_bytes_max), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 -- its own
    binds = (*command.binds, *covers.pins(hidden, command.binds))
    for bind in sorted(binds, key=lambda bind: bind.path.count("/")):
        found += ["--bind" if bind.writable else "--ro-bind", bind.path, bind.path]
    found += covers.options(hidden, command.binds)
    if not command.network:
        for path in _sockets(command.binds):
            found += ["--ro-bind", "/dev/null", path]
    return [*found, "--chdir", command.cwd]


def _system(*, network: bool) -> Iterator[str]:
    for path in _SYSTEM:
        if Path(path).is_symlink():
            yield from ("--symlink", str(Path(path).readlink()), path)
        elif Path(path).is_dir():
            yield from ("--ro-bind", path, path)
    for path in (*_ETC, *(_ETC_NETWORK if network else ())):
        # A link (resolv.conf often is one, into /run) is seen as the file it leads to.
        real = os.path.realpath(path)
        if Path(real).exists():
            yield from ("--ro-bind", real, path)


def _sockets(binds: Sequence[Bind]) -> Iterator[str]:
    """Sockets in the workspace that somebody outside listens on: a network of their own."""
    try:
        lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return
    for path in dict.fromkeys(line.split(" /", 1)[1] for line in lines if " /" in line):
        real = os.path.realpath(f"/{path}")
        bind = next((bind for bind in binds if covers.holds(bind.path, real)), None)
        if bind is not None and Path(real).is_socket() and _enterable(Path(real).parent, Path(bind.path)):
            yield real


def _enterable(folder: Path, bind: Path) -> bool:
    """Whether a process of ours without capabilities can reach into a folder; what it cannot needs no cover."""
    if folder != bind and not _enterable(folder.parent, bind):
        return False
    found = folder.stat()
    return bool(found.st_mode & (stat.S_IXUSR if found.st_uid == os.getuid() else stat.S_IXOTH))


def _proc_covers() -> Iterator[str]:
    # Process 1 is bubblewrap's: it runs without the filter, and by its /proc/1/mem could be made to do anything.
    yield from ("--tmpfs", "/proc/1", "--remount-ro", "/proc/1")
    for path in sorted(Path("/proc").iterdir()):
        name = path.name
        if name.isdigit() or name in _PROC_SHOWN or path.is_symlink():
            continue
        if name == "sys":
            yield from ("--ro-bind", "/proc/sys", "/proc/sys")
        elif path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        else:
            yield from ("--ro-bind", "/dev/null", str(path))
