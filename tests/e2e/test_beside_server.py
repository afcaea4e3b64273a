"""The same commands with a server in the home and without: the same words, the same codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.e2e.place import TIMEOUT_S, Place
from tests.e2e.serving import serving, status
from tests.e2e.terminal import in_terminal

ASKED = "s left)"
VARYING = (
    (re.compile(r"\b[a-z]{1,2}[0-9a-hjkmnp-tv-z]{9}-[0-9a-hjkmnp-tv-z]{7}\b"), "ID"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "TIME"),
    (re.compile(r'"duration_ms": \d+'), '"duration_ms": 0'),
    (re.compile(r'"(created|started|updated|finished|asked|expires|answered)_us": \d+'), '"us": 0'),
    (re.compile(r"\b\d+( tokens)? in, \d+ out\b"), "TOKENS"),
    (re.compile(r'"tokens_(in|out)": \d+'), '"tokens": 0'),
    (re.compile(r"^ *│.*\n", re.MULTILINE), ""),  # live progress: how it falls into lines is chance
)
COMMANDS: dict[str, tuple[Sequence[str], str]] = {
    "a seed": (("seed", "submit", "run `echo hi`", "--approve", "auto"), ""),
    "a seed from stdin": (("seed", "submit", "-", "--json", "--approve", "auto"), 'goal: "run `cat notes.txt`"\n'),
    "a seed in a folder of its own": (("seed", "submit", "run `ls`", "--workspace", "inner", "--approve", "auto"), ""),
    "a seed that nobody approves": (("seed", "submit", "run `echo hi`", "--exit-code", "--approve", "manual"), ""),
    "a seed that warns": (("seed", "submit", "seed.toml", "--exit-code"), ""),
    "a file that is not there": (("seed", "submit", "./none.md"), ""),
    "a message": (("run", "list the files here", "--session", "one", "--json"), ""),
    "a message from stdin": (("run", "-", "--approve", "auto"), "run `cat notes.txt`"),
    "a session with nothing to do": (("run", "--session", "none"), ""),
    "approvals": (("approvals", "list", "--all"), ""),
    "an approval that is none": (("approvals", "allow", "nothing"), ""),
    "capabilities": (("caps", "list", "user:alice"), ""),
    "a grant": (("caps", "grant", "user:alice", "exec:git", "x", "--json"), ""),
    "a grant of nonsense": (("caps", "grant", "user:alice", "exec:git", "q"), ""),
    "an undo of nothing": (("undo", "nothing"), ""),
    "a run that is none": (("runs", "cancel", "r0"), ""),
    "a persona": (("persona", "use", "coder"), ""),
    "a chat from a pipe": (("chat",), "run `echo hi`\n/help\n"),
    "an erasure of nothing": (("audit", "erase", "00" * 32, "--reason", "none"), ""),
    "an erasure of nonsense": (("audit", "erase", "nonsense", "--reason", "none"), ""),
    "help": (("seed", "submit", "--help"), ""),
    "wrong words": (("caps", "grant"), ""),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return _made(tmp_path)


def _made(folder: Path) -> Place:
    made = Place(folder)
    made.env |= {"TERM": "xterm"}
    (made.work / "notes.txt").write_text("a note\n")
    (made.work / "inner").mkdir()
    (made.work / "seed.toml").write_text('goal = "list the files here"\ncriteria = ["file exists notes.txt"]\n')
    return made


def _level(text: str, place: Place) -> str:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text.replace(str(place.work.parent), "PLACE")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Place, Place]]:
    """Two places of the same contents: one by itself, one with a server in its home."""
    alone, served = _made(tmp_path_factory.mktemp("alone")), _made(tmp_path_factory.mktemp("served"))
    with serving(served):
        yield alone, served


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_and_returns_the_same_beside_a_server(pair: tuple[Place, Place], name: str) -> None:
    """Standard output, standard error and exit code are those of the command by itself."""
    words, stdin = COMMANDS[name]
    told = [(done.returncode, _level(done.stdout, place), _level(done.stderr, place))
            for place in pair for done in [place.oxios(*words, stdin=stdin)]]  # fmt: skip
    assert told[0] == told[1]


def test_commands_run_in_the_server(place: Place) -> None:
    """The journal is opened once: the server's boot is the only one, and the run is its."""
    with serving(place):
        place.submitted("run `echo hi`", "--approve", "auto")
        kinds = [kind for _, kind, _ in place.log()]
    assert kinds.count("kernel.booted") == 1
    assert "run.finished" in kinds


def test_the_journals_own_acts_are_the_servers(place: Place) -> None:
    """A key is rotated and a payload erased beside a server, which signs with the new key from then on."""
    with serving(place):
        place.submitted("run `echo hi`", "--approve", "auto")
        seen = place.oxios("audit", "log", "--kind", "call.outcome", "--limit", "1", "--json")
        digest = json.loads(seen.stdout)["digest"]
        old = (place.home / "keys" / "journal.pub").read_text()
        rotated = [place.oxios("audit", "rotate-key") for _ in range(2)]
        assert [done.returncode for done in rotated] == [0, 0]
        assert (place.home / "keys" / "journal.pub").read_text() == old + "".join(done.stdout for done in rotated)
        erased = place.oxios("audit", "erase", digest, "--reason", "asked to forget")
        assert (erased.returncode, erased.stderr[:7]) == (0, "erased;"), erased.stderr
        newest = place.work / "newest.pub"
        newest.write_text(rotated[-1].stdout)
        for given in ([], ["--key", str(newest)]):
            verified = place.oxios("audit", "verify", *given)
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert ", 1 erased" in verified.stdout
        assert rotated[-1].stdout.split("+")[0] in place.oxios("audit", "checkpoint").stdout
        assert len(place.log("--kind", "kernel.booted")) == 1


def test_an_approval_is_asked_at_the_terminal_of_the_command(place: Place) -> None:
    """The prompt is the command's own; what is typed there decides."""
    words = ["seed", "submit", "run `echo x >> ran.log`", "--approve", "manual"]
    with serving(place), in_terminal(words, cwd=place.work, env=place.env) as terminal:
        terminal.see(ASKED)
        terminal.type("o")
        code, out = terminal.end()
    assert code == 0, terminal.shown
    assert "done" in out
    assert (place.work / "ran.log").read_text() == "x\n"
    assert "\x1b[" in terminal.shown  # colours, as a terminal has them


def test_an_approval_answered_elsewhere_counts_and_leaves_the_terminal(place: Place) -> None:
    """While it is asked at the terminal it stands in the inbox; another's answer is the answer."""
    words = ["seed", "submit", "run `echo x >> ran.log`\nrun `echo y >> ran.log`", "--approve", "manual"]
    with serving(place), in_terminal(words, cwd=place.work, env=place.env) as terminal:
        terminal.see(ASKED)
        waiting = json.loads(place.oxios("approvals", "list", "--pending", "--json").stdout)
        assert place.oxios("approvals", "allow", waiting[0]["id"]).returncode == 0
        terminal.see("no longer asked")
        terminal.see(ASKED)  # the next question finds the terminal free
        terminal.type("o")
        assert terminal.end()[0] == 0
    assert (place.work / "ran.log").read_text() == "x\ny\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_that_command_and_nothing_else(place: Place, number: signal.Signals) -> None:
    """Its run is recorded as interrupted and can be resumed; the server and its other commands go on."""
    words = ["seed", "submit", "run `touch begun; sleep 30`", "--approve", "auto"]
    with serving(place) as server:
        with in_terminal(words, cwd=place.work, env=place.env) as terminal:
            terminal.see("▸ exec")
            terminal.stop(number)
            assert terminal.end()[0] == 130
        assert number == signal.SIGHUP or "goes on from here" in terminal.shown
        assert json.loads(place.oxios("runs", "list", "--json").stdout)[0]["status"] == "paused"
        assert status(place)["pid"] == server.process.pid
        assert place.submitted("run `echo hi`", "--approve", "auto")["status"] == "finished"


def test_a_terminal_that_is_killed_stops_its_command(place: Place) -> None:
    """The connection ends, and with it the command, as when a terminal hangs up."""
    words = ["seed", "submit", "run `touch begun; sleep 30`", "--approve", "auto"]
    with serving(place):
        with in_terminal(words, cwd=place.work, env=place.env) as terminal:
            terminal.see("▸ exec")
            terminal.stop(signal.SIGKILL)
            terminal.end()
        _until_paused(place)


def test_nobody_else_hears_of_a_reader_that_left(place: Place) -> None:
    """`… 2>&1 | head -1`: what is said afterwards goes nowhere, and the server has no error of it."""
    words = [sys.executable, "-m", "oxios", "seed", "submit", "run `sleep 0.3`, then run `sleep 0.3`"]
    with serving(place) as server:
        with subprocess.Popen(
            words, cwd=place.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as command:
            assert command.stdout is not None
            assert command.stdout.readline()
            command.stdout.close()
            command.wait(TIMEOUT_S)
        assert json.loads(place.oxios("runs", "list", "--json").stdout)[0]["status"] == "finished"
        assert "Traceback" not in server.end()[1]


def _until_paused(place: Place) -> None:
    while (status := json.loads(place.oxios("runs", "list", "--json").stdout)[0]["status"]) == "running":
        continue
    assert status == "paused"


def test_a_question_of_an_agent_is_asked_at_the_terminal(place: Place) -> None:
    """A call in doubt, after a stop in its middle, is asked about where its run is resumed."""
    words = ["seed", "submit", "run `touch begun; sleep 1; echo done >> ran.log`", "--approve", "auto"]
    with in_terminal(words, cwd=place.work, env=place.env) as first:
        first.see("▸ exec")
        while not (place.work / "begun").exists():
            first.see("")
        first.stop(signal.SIGINT)
        first.end()
    run = json.loads(place.oxios("runs", "list", "--json").stdout)[0]["id"]
    with serving(place), in_terminal(["runs", "resume", run], cwd=place.work, env=place.env) as second:
        second.see("nobody knows whether it happened")
        second.type("retry\n")
        assert second.end()[0] == 0, second.shown
    assert (place.work / "ran.log").read_text().count("done") == 1


def test_a_reader_that_leaves_ends_the_command_quietly(place: Place) -> None:
    """As by itself: 141, and not a word of it."""
    with serving(place):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "oxios", "caps", "grant", "user:alice", "exec:git", "x", "--json"],
            cwd=place.work, env=place.env, stdout=write, stderr=subprocess.PIPE, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (141, "")


def test_other_settings_than_the_servers_are_refused(place: Place) -> None:
    """A kernel has one set of settings: what it could not obey is refused by name, never passed over."""
    with serving(place):
        for words in (("--set", "approval.mode=manual"), ("--set", "run.turns_max=3")):
            done = place.oxios("seed", "submit", "run `echo hi`", *words)
            assert done.returncode == 8
            assert words[1].partition(".")[0] in done.stderr
        (place.work / ".oxios.toml").write_text('[commands]\ndenied = ["echo"]\n')
        done = place.oxios("seed", "submit", "run `echo hi`", "--approve", "auto")
        assert done.returncode == 8
        assert "[commands]" in done.stderr
        (place.work / ".oxios.toml").unlink()
        assert place.submitted("run `echo hi`", "--approve", "auto", "--set", "cycle.generations_max=1")["run"]


def test_a_chat_in_a_terminal_goes_on_beside_a_server(place: Place) -> None:
    """Lines reach it, its answers come back, Ctrl-C ends it, and the session is the server's."""
    with serving(place), in_terminal(["chat", "--approve", "manual"], cwd=place.work, env=place.env) as terminal:
        terminal.see_last("> ")
        terminal.type("run `echo x >> ran.log`\n")
        terminal.see(ASKED)
        terminal.type("o")
        terminal.see("run finished")
        terminal.see_last("> ")
        terminal.stop(signal.SIGINT)
        code, out = terminal.end()
    assert (code, (place.work / "ran.log").read_text()) == (0, "x\n"), terminal.shown
    assert "done" in out


def test_reading_goes_on_beside_a_server(place: Place) -> None:
    """Commands that only read do not need it."""
    with serving(place) as server:
        place.submitted("run `echo hi`", "--approve", "auto")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert len(json.loads(place.oxios("runs", "list", "--json").stdout)) == 1
            assert place.oxios("audit", "log").returncode == 0
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


def test_a_socket_that_a_crash_left_is_no_server(place: Place) -> None:
    """Nobody listens there: the command opens the home itself."""
    place.home.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        os.chdir(place.home)
        left.bind("server.sock")
    assert place.submitted("run `echo hi`", "--approve", "auto")["status"] == "finished"
