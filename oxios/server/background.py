"""Starting the server in the background.

Guarantees: this returns once the server answers, with its link, or with why it does not. The server is
no child of the terminal: closing that does not end it. The link is told here and stands in no log.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Final

from kernel.errors import Unavailable
from oxios.exits import Exit
from oxios.frame import home_of_command, say
from oxios.seat import original
from oxios.server.logfile import log_path, open_log

_LINES: Final = 12


def start(args: argparse.Namespace) -> int:
    """Raises: Unavailable, where the log cannot be written, or the server ended and could not say why."""
    home = home_of_command(args)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        log = open_log(home)
    except OSError as error:
        raise Unavailable(f"{log_path(home)} cannot be written: {error.strerror}", remedy="check its folder") from error
    before = os.fstat(log).st_size
    read, write = os.pipe()
    words = [word for word in original(args) or () if word != "--background"]
    try:
        process = subprocess.Popen(  # noqa: S603 -- this program itself
            [sys.executable, "-m", "oxios", *words, "--ready-fd", str(write)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(write,),
        )
    finally:
        os.close(write)
        os.close(log)
    with os.fdopen(read) as told:
        line = told.readline()  # Ends when it answers, or when it has ended.
    if not line:
        code = process.wait()
        lines = log_path(home).read_bytes()[before:].decode(errors="replace").splitlines()
        if not lines:
            raise Unavailable(
                f"the server ended with exit code {code}, and its log {log_path(home)} does not say why",
                remedy="a full disk keeps it from saying so: see `oxios doctor`, or what `oxios serve` says here",
            )
        for said in lines[-_LINES:]:
            say(said)
        return code or Exit.FAILED
    ready = json.loads(line)
    print(f"Oxios serves {ready['url']} (process {process.pid})")
    print(f"sign in: {ready['link']}")
    say("(the link works once, for 15 minutes; `oxios stop` stops the server)", args)
    process.returncode = 0  # It is not waited for: it outlives this process.
    return Exit.OK
