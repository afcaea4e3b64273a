"""The metrics of a real server, judged by promtool and scraped by a real Prometheus."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.place import TIMEOUT_S, Place
from tests.e2e.serving import serving

HOW = "apt-get update && apt-get install -y prometheus"
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason=f"Prometheus is not installed: {HOW}"
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.submitted("run `echo hi`", "--approve", "auto")
    return made


def _token(place: Place, scope: str, *more: str) -> str:
    done = place.oxios("tokens", "create", "for tests", "--scope", scope, "--json", *more)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["token"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_metrics_need_a_token_that_reads(place: Place) -> None:
    """Nobody, a token for something else, one made up, one of who sees their own alone: each is refused."""
    assert place.oxios("users", "create", "alice").returncode == 0
    read, run, own = _token(place, "read"), _token(place, "run"), _token(place, "read", "--user", "alice")
    with serving(place) as server:
        assert server.get("/metrics")[0] == 401
        assert server.get("/metrics", {"Authorization": "Bearer made-up"})[0] == 401
        assert server.get("/metrics", {"Authorization": f"Bearer {run}"})[0] == 403
        assert server.get("/metrics", {"Authorization": f"Bearer {own}"})[0] == 403
        code, said = server.get("/metrics", {"Authorization": f"Bearer {read}"})
    assert (code, "oxios_journal_entries_total" in said) == (200, True)


@needs_prometheus
def test_promtool_finds_nothing_wrong(place: Place) -> None:
    """Names, types, units and help texts are as Prometheus wants them."""
    token = _token(place, "read")
    with serving(place) as server:
        place.submitted("run `echo hi`", "--approve", "auto")
        _, said = server.get("/metrics", {"Authorization": f"Bearer {token}"})
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=said, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_prometheus
def test_a_real_prometheus_scrapes_it(place: Place, tmp_path: Path) -> None:
    """With a token in a file, as its configuration wants it, the target is up and its numbers are there."""
    secret, config, port = tmp_path / "token", tmp_path / "prometheus.yml", _free_port()
    secret.write_text(_token(place, "read"))
    with serving(place) as server:
        place.submitted("run `echo hi`", "--approve", "auto")
        scrape = {
            "job_name": "oxios",
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "authorization": {"credentials_file": str(secret)},
            "static_configs": [{"targets": [server.netloc]}],
        }
        config.write_text(json.dumps({"scrape_configs": [scrape]}))  # JSON is YAML
        words = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        with subprocess.Popen(
            [*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as prometheus:
            try:
                while _value(port, 'oxios_runs_total{status="finished"}') != "1":
                    assert prometheus.poll() is None
                assert _value(port, 'up{job="oxios"}') == "1"
            finally:
                prometheus.terminate()


def _value(port: int, query: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"/api/v1/query?query={quote(query)}")
        found = json.loads(connection.getresponse().read())["data"]["result"]
    except (OSError, ValueError, KeyError):
        return ""
    finally:
        connection.close()
    return str(found[0]["value"][1]) if found else ""
