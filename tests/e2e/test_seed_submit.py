"""`oxios seed` as a person uses it: the real program, a home of its own, the embedded planner."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import TIMEOUT_S, Place

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "oxios" / "samples"
FIELDS = {
    "run", "seed", "status", "note", "passed", "score", "output", "findings", "gaps", "turns", "tokens_in",
    "tokens_out", "tokens_cached", "cost_micro_usd", "model", "persona", "workspace", "duration_ms", "exit_code",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _statuses(told: Mapping[str, Any]) -> list[str]:
    return [finding["status"] for finding in told["findings"]]


@pytest.mark.parametrize("sample", ["welcome.toml", "inventory.md", "answer.json"])
def test_the_samples_are_carried_out(place: Place, sample: str) -> None:
    """Each sample, in its notation, finishes and passes all of its criteria."""
    told = place.submitted(str(SAMPLES / sample), "--workspace", ".")
    assert (told["status"], told["passed"], told["score"], told["exit_code"]) == ("finished", True, 1.0, 0)
    assert set(_statuses(told)) == {"passed"}
    assert set(told) == FIELDS
    assert told["workspace"] == str(place.work)


def test_evidence_stands_in_the_journal(place: Place) -> None:
    """Every entry a finding names is in the run's own stream, made by the owner, of the criterion's call."""
    told = place.submitted(str(SAMPLES / "welcome.toml"), "--workspace", ".")
    entries = {seq: (kind, payload) for seq, kind, payload in place.log("--run", told["run"])}
    evidence = [entries[seq] for finding in told["findings"] for seq in finding["evidence"]]
    assert [(kind, payload["tool"]) for kind, payload in evidence] == [
        ("call.outcome", "look"),
        ("call.outcome", "look"),
        ("call.outcome", "exec"),
        ("call.outcome", "look"),
    ]
    kind, payload = entries[max(entries)]
    assert (kind, payload["findings"]) == ("review.verdict", told["findings"])
    assert place.oxios("audit", "verify").returncode == 0


def test_criteria_that_are_not_met_are_said_and_counted(place: Place) -> None:
    """A finished run with unmet criteria is exit 3 with --exit-code and 0 without; the gaps say what lacks."""
    seed = 'goal = """write "x" to a.txt"""\ncriteria = ["file exists: b.txt", "file exists: a.txt", "It is nice"]'
    told = place.submitted("-", stdin=seed)
    assert (told["exit_code"], told["passed"], told["score"]) == (3, False, 0.5)
    assert _statuses(told) == ["failed", "passed", "unjudged"]
    assert told["gaps"] == ["file exists: b.txt: b.txt is not there"]
    plain = place.oxios("seed", "submit", "-", stdin=seed)
    assert plain.returncode == 0
    assert "review: failed  1 of 2 criteria" in plain.stderr
    assert "review" not in plain.stdout


def test_a_wrong_seed_changes_nothing(place: Place) -> None:
    """A wrong seed is exit 2 with file, line and remedy on stderr, before anything is made or recorded."""
    (place.work / "bad.toml").write_text('goal = "x"\n\ncritera = []\n', encoding="utf-8")
    done = place.oxios("seed", "submit", "bad.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.toml, line 3: unknown name 'critera'; did you mean 'criteria'?" in done.stderr
    assert not place.home.exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--workspace", "missing"), "mkdir -p"),
        (("--workspace", "../home"), "home of Oxios itself"),
        (("--persona", "reserch"), "research"),
        (("--model", "nobody/x"), "embedded"),
    ],
)
def test_wrong_flags_are_told_with_a_remedy(place: Place, words: Sequence[str], what: str) -> None:
    """A missing workspace, the kernel's home, an unknown persona or model: exit 2, and what would be right."""
    place.home.mkdir(mode=0o700)
    done = place.oxios("seed", "submit", "list .", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr


def test_seeds_on_record_are_listed_and_shown(place: Place) -> None:
    """A seed that was submitted is listed, and shown whole with its runs."""
    told = place.submitted("-", stdin="---\nbudget: {calls: 9}\n---\nlist .\n\n## Criteria\n- file absent: x\n")
    listed = json.loads(place.oxios("seed", "list", "--json").stdout)
    assert [(row["id"], row["generation"], row["source"]) for row in listed] == [(told["seed"], 0, "standard input")]
    shown = json.loads(place.oxios("seed", "show", told["seed"], "--json").stdout)
    assert (shown["goal"], shown["criteria"], shown["runs"]) == ("list .", ["file absent: x"], [told["run"]])
    assert shown["budget"]["calls"] == 9
    told_again = place.oxios("seed", "show", told["seed"]).stdout
    assert "1. file absent: x" in told_again
    assert f"run {told['run']}: finished" in told_again
    assert [(row["run"], row["status"], row["verdict"]) for row in listed] == [(told["run"], "finished", "passed")]
    unknown = place.oxios("seed", "show", "s0")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "seed list" in unknown.stderr


def test_a_seed_whose_criteria_were_not_met_is_listed_as_failed(place: Place) -> None:
    """The list and the seed itself say how the review went, where the run alone would be called finished."""
    told = place.submitted("-", stdin="---\nbudget: {calls: 9}\n---\nlist .\n\n## Criteria\n- file exists: x\n")
    line = place.oxios("seed", "list").stdout
    assert told["seed"] in line
    assert "failed" in line
    assert f"run {told['run']}: finished, review failed" in place.oxios("seed", "show", told["seed"]).stdout


def test_a_command_has_the_network_where_the_operator_gave_it(place: Place) -> None:
    """Refused with the setting that would help; with it, a command reaches a server of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]} && echo reached"
        plan = f"```json\n{json.dumps([{'tool': 'exec', 'args': {'command': command, 'network': True}}])}\n```"
        refused = place.submitted(plan, "--approve", "auto")
        allowed = place.submitted(plan, "--approve", "auto", "--set", 'run.network=["*:*"]')
    assert "oxios config set run.network '[\"*:*\"]'" in refused["output"]
    assert "reached" in allowed["output"]


def test_ctrl_c_pauses_the_run_and_says_how_to_go_on(place: Place) -> None:
    """An interrupt ends the tool's processes, leaves a paused run behind, and names the command that resumes it."""
    command = f"sleep 50.{os.getpid()}"  # Its own, so that another suite's process is not taken for ours.
    words = ["seed", "submit", f"run `{command}`", "--exit-code"]
    with subprocess.Popen(
        [sys.executable, "-m", "oxios", *words],
        cwd=place.work, env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "▸ exec sleep" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(TIMEOUT_S) == 6
    assert "oxios runs resume r" in rest
    assert "Traceback" not in rest
    alive = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert command not in alive
    runs = json.loads(place.oxios("runs", "list", "--json").stdout)
    assert [row["status"] for row in runs] == ["paused"]


def test_the_active_persona_is_used_by_seeds_that_name_none(place: Place) -> None:
    """`persona use` is journalled and holds for the next seed; a seed or a flag that names one wins."""
    assert place.oxios("persona", "use", "ops").returncode == 0
    assert json.loads(place.oxios("persona", "list", "--json").stdout)["active"] == "ops"
    assert place.submitted("list .")["persona"] == "ops"
    seed = 'goal = "list ."\npersona = "writer"'
    assert place.submitted("-", stdin=seed)["persona"] == "writer"
    assert place.submitted("-", "--persona", "mentor", stdin=seed)["persona"] == "mentor"
    assert place.oxios("persona", "use", "none").returncode == 0
    assert json.loads(place.oxios("persona", "list", "--json").stdout)["active"] == ""
    assert [payload for _, _, payload in place.log("--kind", "persona.switched")] == [
        {"before": "", "after": "ops"},
        {"before": "ops", "after": ""},
    ]


def test_personas_are_listed_and_shown_without_a_journal(place: Place) -> None:
    """A fresh home lists the nine and shows one whole; an unknown name is exit 2 with the nearest."""
    assert len(place.oxios("persona", "list").stdout.splitlines()) == 9
    shown = json.loads(place.oxios("persona", "show", "dev", "--json").stdout)
    assert (shown["role"], shown["enabled"], shown["source"]) == ("developer", True, "personas/dev.md")
    wrong = place.oxios("persona", "show", "deb")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "dev" in wrong.stderr
    assert not place.home.exists()


def test_a_seeds_unknown_model_is_told_with_its_line(place: Place) -> None:
    """A name that the settings do not know is blamed on the line that gives it, before anything is recorded."""
    (place.work / "a.toml").write_text('goal = "list ."\nmodel = "nobody/x"\n', encoding="utf-8")
    done = place.oxios("seed", "submit", "a.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a.toml, line 2: model: " in done.stderr
    assert "embedded" in done.stderr
    flagged = place.oxios("seed", "submit", "a.toml", "--model", "nobody/y")
    assert "line 2" not in flagged.stderr
    assert place.oxios("seed", "submit", "a.toml", "--model", "embedded/planner").returncode == 0
