"""The server's process: how it starts, says where it is, ends, and what it leaves behind."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oxios.server.protocol import WANTED
from tests.e2e.place import TIMEOUT_S, Place
from tests.e2e.serving import serving, status

SLOW = "run `touch begun; sleep 30; echo done >> ran.log`"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _left(place: Place) -> set[str]:
    return {name for name in ("server.json", "server.sock") if (place.home / name).exists()}


def test_a_server_says_where_it_is_and_leaves_nothing_behind(place: Place) -> None:
    """While it works, record and socket are its owner's alone; SIGTERM ends it with 0, and both are gone."""
    with serving(place) as server:
        told = status(place)
        assert (told["running"], told["ready"], told["url"], told["pid"]) == (
            True,
            True,
            server.url,
            server.process.pid,
        )
        for name in ("server.json", "server.sock"):
            assert stat.S_IMODE((place.home / name).stat().st_mode) == 0o600
        code, err = server.end()
    assert (code, err.splitlines()[-1]) == (0, "stopped")
    assert not _left(place)
    assert status(place) == {"running": False, "home": str(place.home), "locked_by": None}
    assert place.oxios("audit", "verify").returncode == 0


def test_a_server_takes_the_descriptors_that_it_may_have(place: Place) -> None:
    """Begun with few, as a service is: for a hundred commands at once they would not do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with serving(place) as server:
            found = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == (WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard), hard)


def test_health_says_nothing_and_ready_says_what_is_there(place: Place) -> None:
    """Both answer anybody; metrics answer who may see everything, and nobody else."""
    with serving(place) as server:
        assert server.get("/health") == (200, '{"status":"ok"}')
        code, said = server.get("/ready")
        assert (code, json.loads(said)) == (200, {"status": "ready", "checks": {"journal": "ok", "sandbox": "ok"}})
        assert server.get("/metrics")[0] == 401
        place.submitted("run `echo hi`", "--approve", "auto")
        code, said = server.get("/metrics", {"Cookie": server.cookie()})
        assert code == 200
        assert 'oxios_runs_total{status="finished"} 1.0' in said


def test_a_second_server_of_a_home_is_told_of_the_first(place: Place) -> None:
    """It ends at once with 8 and names the first's address; the first goes on."""
    with serving(place) as server:
        second = place.oxios("serve", "--port", "0")
        assert second.returncode == 8
        assert server.url in second.stderr
        assert status(place)["pid"] == server.process.pid


def test_a_port_in_use_is_said_before_anything_is_begun(place: Place) -> None:
    """No journal is made; the error names the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = place.oxios("serve", "--port", str(port))
    assert done.returncode == 8
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert not (place.home / "journal").exists()


def test_a_public_address_needs_a_password(place: Place) -> None:
    """Without the operator's password it refuses, and answered nobody meanwhile."""
    done = place.oxios("serve", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (7, "")
    assert "has no password" in done.stderr
    assert not _left(place)


def test_an_open_event_stream_does_not_hold_the_end_up(place: Place) -> None:
    """The stream ends by itself, and the server with 0 well before a browser would be cut off."""
    with serving(place) as server:
        connection = http.client.HTTPConnection(server.netloc, timeout=TIMEOUT_S)
        connection.request("GET", "/events", headers={"Cookie": server.cookie()})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"retry:")
        code, _ = server.end()
        assert code == 0
        answer.read()  # Whole: its last chunk came.
        connection.close()


def test_stop_ends_the_server_and_only_it(place: Place) -> None:
    """A record that a crash left, with a pid that is another's by now, stops nobody."""
    with serving(place) as server:
        server.process.kill()
        server.process.wait(TIMEOUT_S)
    assert _left(place) == {"server.json", "server.sock"}
    record = json.loads((place.home / "server.json").read_text())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (place.home / "server.json").write_text(json.dumps(record | {"pid": other.pid}))
        done = place.oxios("stop")
        assert (done.returncode, other.poll()) == (0, None)
        assert "no server works" in done.stderr
        other.communicate(b"\n")
    with serving(place) as server:
        assert place.oxios("stop").returncode == 0
        assert server.process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("words", [("seed", "submit"), ("run",)], ids=["a seed", "a session"])
def test_work_cut_off_by_a_kill_goes_on_with_the_next_server(place: Place, words: tuple[str, ...]) -> None:
    """After kill -9 in a step, the next server takes the run up by itself, once."""
    with serving(place) as server:
        submit = subprocess.Popen(
            [sys.executable, "-m", "oxios", *words, "run `touch begun; sleep 30`", "--approve", "auto"],
            cwd=place.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert submit.stderr is not None
        while "exec" not in submit.stderr.readline():
            continue
        os.kill(server.process.pid, signal.SIGKILL)
        _, err = submit.communicate(timeout=TIMEOUT_S)
        assert submit.returncode == 8
        assert "the server ended before this command did" in err
    assert json.loads(place.oxios("runs", "list", "--json").stdout)[0]["status"] == "interrupted"
    with serving(place) as server:
        kinds = [kind for _, kind, _ in place.log()]
        while "call.in_doubt" not in kinds:  # the step that was cut off waits for a person
            kinds = [kind for _, kind, _ in place.log()]
        assert kinds.count("run.resumed") == 1
        code, _ = server.end()
        assert code == 0


def test_stopping_records_runs_as_interrupted(place: Place) -> None:
    """The command under way is told, and its run stands as paused, not as running."""
    with serving(place) as server:
        submit = subprocess.Popen(
            [sys.executable, "-m", "oxios", "seed", "submit", SLOW, "--approve", "auto"],
            cwd=place.work, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert submit.stderr is not None
        while "exec" not in submit.stderr.readline():
            continue
        code, _ = server.end()
        _, err = submit.communicate(timeout=TIMEOUT_S)
    assert (code, submit.returncode) == (0, 130)
    assert "goes on from here" in err
    assert json.loads(place.oxios("runs", "list", "--json").stdout)[0]["status"] == "paused"
    assert not (place.work / "ran.log").exists()


def test_a_second_signal_ends_it_at_once(place: Place) -> None:
    """While it waits for an answer to finish, another SIGTERM ends it as a crash would; nothing is lost."""
    with serving(place) as server:
        host, _, port = server.netloc.partition(":")
        held = [socket.create_connection((host, int(port))) for _ in range(2)]
        for one in held:
            one.sendall(
                b"POST /sign-in HTTP/1.1\r\nHost: " + server.netloc.encode() + b"\r\nContent-Length: 9\r\n\r\nc"
            )
        server.process.send_signal(signal.SIGTERM)
        while (place.home / "server.json").exists():
            assert server.process.poll() is None
        code, _ = server.end()
        for one in held:
            one.close()
    assert code == 128 + signal.SIGTERM
    assert place.oxios("audit", "verify").returncode == 0


def test_a_server_in_the_background_outlives_the_command_and_logs(place: Place) -> None:
    """It returns once the server answers; its link works once and stands in no log; `logs` shows the log."""
    done = place.oxios("serve", "--port", "0", "--background", "-v")
    try:
        assert done.returncode == 0, done.stderr
        url, link = done.stdout.splitlines()[0].split()[2], done.stdout.splitlines()[1].split()[-1]
        assert (status(place)["url"], status(place)["ready"]) == (url, True)
    finally:
        assert place.oxios("stop").returncode == 0
    log = place.home / "logs" / "server.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert link.partition("#")[2] not in log.read_text()
    shown = place.oxios("logs", "-n", "1")
    assert shown.stdout == log.read_text().splitlines()[-1] + "\n" == "stopped\n"


def test_a_background_server_that_cannot_start_says_why(place: Place) -> None:
    """The command ends with the server's own code, and tells its last words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = place.oxios("serve", "--port", str(taken.getsockname()[1]), "--background")
    assert done.returncode == 8
    assert "is in use" in done.stderr


def test_logs_and_status_without_a_server(place: Place) -> None:
    """There is no log: 2. There is no server: 1; to stop none is no mistake."""
    assert place.oxios("logs").returncode == 2
    assert place.oxios("status").returncode == 1
    assert place.oxios("stop").returncode == 0
