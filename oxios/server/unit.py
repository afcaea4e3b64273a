"""A systemd unit for the server.

Guarantees: it runs as one user, restarts after a crash, is told ready by the server itself, outlives a command
that memory ran out for, and is hardened as far as agents' own sandbox allows: that needs user namespaces, mounts
and an untouched /proc, so RestrictNamespaces, ProtectKernelTunables, ProtectKernelLogs, ProtectHostname and the
like are left out on purpose. PrivateTmp too: a command that the server carries out for a terminal names folders
as that sees them, and what is made in a private /tmp is gone when the service stops.
Source: systemd.exec(5), systemd.service(5), user_namespaces(7).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from kernel.errors import Conflict, Invalid
from oxios.exits import Exit
from oxios.frame import home_of_command, place, say
from oxios.login import login_name

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
    "AmbientCapabilities=",
    "ProtectSystem=full",
    "ProtectClock=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
)
_ROOT_KEEPS: Final = "CAP_SETFCAP"
"""Without it Linux lets root map itself into no user namespace, and no command of an agent could run."""
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
    if args.system and not os.getuid():
        say("it serves as root; for another user, have that user write the unit: --system --output -", args)
    if not args.system:
        say(f"and without you signed in:\n  loginctl enable-linger {login_name()}", args)
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
        *([f"User={login_name()}"] if system else []),
        "Restart=on-failure",
        "RestartSec=2",
        "KillMode=mixed",
        f"TimeoutStopSec={_STOP_S}",
        "OOMPolicy=continue",
        *_HARDENING,
        *([f"CapabilityBoundingSet={'' if os.getuid() else _ROOT_KEEPS}", *_SYSTEM_HARDENING] if system else []),
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
