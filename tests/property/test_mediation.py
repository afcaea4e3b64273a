"""Complete mediation: nothing happens outside a permit whose capability covers it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_PROJECT = Path(__file__).resolve().parents[2]


class _Page(BaseHTTPRequestHandler):
    """One page, and one redirect to an address that nobody may reach."""

    def do_GET(self) -> None:
        away = self.path == "/away"
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""


@pytest.fixture
def port() -> Generator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _mediation(root: Path, port: int, seed: int, calls: int, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.property.mediation", str(root), str(port), str(seed), str(calls), *more]
    done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_effect_of_random_calls_lies_outside_a_permit(tmp_path: Path, port: int, seed: int) -> None:
    """Every file, process and socket event of a thousand of calls falls in a running permit that covers it."""
    found = _mediation(tmp_path, port, seed, 1200)
    assert found["uncovered"] == [], "\n".join(found["uncovered"])
    assert found["covered"] > 500
    assert {"open", "subprocess.Popen", "socket.connect", "os.rename"} <= set(found["events"]), found
    assert {"call.outcome", "call.denied"} <= {name.split()[1] for name in found["calls"]}


def test_an_open_past_the_gate_is_seen(tmp_path: Path, port: int) -> None:
    """The watch can fail: one file read without a permit is reported, and it alone."""
    found = _mediation(tmp_path, port, 3, 20, "leak")
    assert found["uncovered_count"] == 1
    assert "a.txt" in found["uncovered"][0]
