"""A systemd unit for the server.

Guarantees: it runs as one user, restarts after a crash, is told ready by the server itself, and is hardened
as far as agents' own sandbox allows: that needs user namespaces, mounts and an untouched /proc, so
RestrictNamespaces, ProtectKernelTunables and the like are left out on purpose.
Source: systemd.exec(5), systemd.service(5).
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import Final

from kernel.errors import Conflict, Invalid
from oxios.exits import Exit
from oxios.frame import home_of_command, place, say

NAME: Final = "oxios.service"
_HARDENING: Final = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "UMask=0077",
)
_SYSTEM_HARDENING: Final = (
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=full",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
)
_STOP_S: Final = 60


def write_unit(args: argparse.Namespace) -> int:
    """Raises: Conflict, where the file is there and says something else; Invalid, where it cannot be written."""
    text = unit(args, system=args.system)
    if args.output == "-":
        print(text, end="")
        return Exit.OK
    path = place(args.output) if args.output else _default(system=args.system)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise Conflict(f"{path} exists and differs", remedy="remove it, or name another file with --output")
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(
            f"{path} cannot be written: {error.strerror}", remedy="name another file with --output, - for stdout"
        ) from error
    print(path)
    control = "systemctl" if args.system else "systemctl --user"
    say(f"start it now and at every boot:\n  {control} daemon-reload\n  {control} enable --now {path.name}", args)
    if not args.system:
        say(f"and without you signed in:\n  loginctl enable-linger {getpass.getuser()}", args)
    say(
        f"let yourself in: oxios users link\nits log: journalctl {'' if args.system else '--user '}-u {path.name}", args
    )
    return Exit.OK


def unit(args: argparse.Namespace, *, system: bool) -> str:
    """The unit's text, with the settings that this command was given."""
    words = [sys.executable, "-m", "oxios", "serve"]
    for one in args.sets:
        words += ["--set", one]
    home = home_of_command(args)
    service = [
        "Type=notify",
        f"ExecStart={' '.join(_quoted(word) for word in words)}",
        f"Environment={_quoted(f'OXIOS_HOME={home}')}",
        f"WorkingDirectory={_escaped(str(Path.home()))}",
        *([f"User={getpass.getuser()}"] if system else []),
        "Restart=on-failure",
        "RestartSec=2",
        "KillMode=mixed",
        f"TimeoutStopSec={_STOP_S}",
        *_HARDENING,
        *(_SYSTEM_HARDENING if system else ()),
    ]
    parts = {
        "Unit": [
            "Description=Oxios, an operating system for AI agents",
            *(["After=network-online.target", "Wants=network-online.target"] if system else []),
        ],
        "Service": service,
        "Install": [f"WantedBy={'multi-user' if system else 'default'}.target"],
    }
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in parts.items())


def _default(*, system: bool) -> Path:
    return Path("/etc/systemd/system", NAME) if system else Path.home() / ".config" / "systemd" / "user" / NAME


def _quoted(word: str) -> str:
    """One word of a unit's line: `%` and `$` mean nothing in it."""
    inner = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{inner}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
