"""`make run` does what the README shows: its output is run again and compared line by line."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BETWEEN = re.compile(r"<!-- make run: begin.*?-->\n+```\n(.*?)\n```\n+<!-- make run: end -->", re.DOTALL)
VARYING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"/sign-in#\S+"), "/sign-in#CODE"),
    (re.compile(r"\(process \d+\)"), "(process N)"),
    (re.compile(r"\b[a-z]{1,2}[0-9a-hjkmnp-tv-z]{9}-[0-9a-hjkmnp-tv-z]{7}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{8,64}…?(?![\w-])"), "DIGEST"),
    (re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|µs|entries/s)\b"), "DURATION"),
    (re.compile(r"\b\d+( tokens)? in, \d+ out\b"), "TOKENS"),
    (re.compile(r"^ *[│▸].*\n", re.MULTILINE), ""),
    (re.compile(r"[ \t]+"), " "),
)
TIMEOUT_S = 120


def steady(output: str) -> list[str]:
    """The lines without what differs from run to run: ids, digests, times, durations, tokens, live progress."""
    for pattern, word in VARYING:
        output = pattern.sub(word, output)
    return [line.strip() for line in output.strip().splitlines()]


def test_the_readme_shows_what_make_run_prints(tmp_path: Path) -> None:
    """The sample's steps, verdicts, verification and files are those the README shows."""
    env = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", "OXIOS__SERVER__PORT": "0"}
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    shown = BETWEEN.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown, "run make readme"
    assert steady(done.stdout.replace(f"{tmp_path}/", "").replace(f"{ROOT}/", "")) == steady(shown[1])


def test_in_a_terminal_the_server_stays_until_it_is_told(tmp_path: Path) -> None:
    """After the Seed it waits, and answers; Enter stops it in order."""
    outer, inner = pty.openpty()
    env = {**os.environ, "OXIOS__SERVER__PORT": "0", "NO_COLOR": "1", "TERM": "dumb"}
    env.pop("ONCE", None)
    with subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "demo.py", str(tmp_path)],
        stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(inner)
        shown = _shown_until(outer, "lets you in")
        url = shown.partition("Oxios serves ")[2].split()[0]
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S):
            assert process.poll() is None
        os.write(outer, b"\n")
        _shown_until(outer, "stopped the server")
        assert process.wait(TIMEOUT_S) == 0
    os.close(outer)


def _shown_until(terminal: int, text: str) -> str:
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 65536).decode("utf-8", "replace")
    return shown


def test_what_differs_between_runs_is_left_out_of_the_comparison() -> None:
    """Ids, digests and durations are levelled; words and counts are not."""
    first, second = "run r01k3v8n5w-4tq9x2m: 3 files, 1.2 s", "run r01k3v8n5x-aaaaaaa: 3 files, 0.9 s"
    assert steady(first) == steady(second)
    assert steady("3 files") != steady("4 files")
