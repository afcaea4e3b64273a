"""A real server on a home and a free port of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.place import TIMEOUT_S, Place


@dataclass(slots=True)
class Server:
    """One that answers now."""

    place: Place
    process: subprocess.Popen[str]
    url: str
    link: str

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.netloc, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def cookie(self) -> str:
        """Sign in by the link, as its page does; the session's cookie."""
        connection = http.client.HTTPConnection(self.netloc, timeout=TIMEOUT_S)
        code = self.link.partition("#")[2]
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url}
            connection.request("POST", "/sign-in", f"code={code}", headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.headers["set-cookie"]).partition(";")[0]
        finally:
            connection.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it said on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, err


@contextmanager
def serving(place: Place, *words: str) -> Generator[Server]:
    """`oxios serve` on any free port; killed where the block leaves it running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "oxios", "serve", "--port", "0", *words],
        cwd=place.work.parent, env=place.env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        if not second:
            raise AssertionError(process.communicate(timeout=TIMEOUT_S)[1])
        yield Server(place, process, first.split()[-1], second.split()[-1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def status(place: Place) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(place.oxios("status", "--json").stdout)
    return told
