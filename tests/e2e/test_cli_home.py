"""`oxios` on homes as people find them: never used, broken, full, somebody else's; and with wrong words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.place import TIMEOUT_S, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def used(place: Place) -> Place:
    """A home in which one run was carried out."""
    assert place.oxios("seed", "submit", 'write "a" to a.txt', "-q").returncode == 0
    return place


@pytest.mark.parametrize(
    "words", ["runs list", "seed list", "runs list --status paused", "approvals list", "approvals standing"]
)
def test_a_home_never_used_has_nothing_to_list(place: Place, words: str) -> None:
    """Lists of a fresh home are empty, not an error: JSON on stdout, one line of talk on stderr."""
    done = place.oxios(*words.split(), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    plain = place.oxios(*words.split())
    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (0, "", 1)


def test_looking_at_a_home_never_used_makes_nothing(place: Place) -> None:
    """Reading commands leave no home behind, and a wrong id is a wrong id there too."""
    for words in (("runs", "show", "r1"), ("seed", "show", "s1"), ("runs", "replay", "r1"), ("runs", "export", "r1")):
        done = place.oxios(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "error: there is no" in done.stderr
    assert not place.home.exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("runs list --limit 0", "whole number from 1"),
        ("runs list --limit -3", "whole number from 1"),
        ("seed list --limit x", "whole number from 1"),
        ("runs list --status done", "invalid choice"),
        ("runs export RUN -o no/such/place", "cannot be written"),
        ("runs fork RUN --step 99", "has no step 99"),
        ("caps grant user:bob fil:/x r", "KIND:PATTERN"),
        ("caps revoke c0", "no capability c0"),
        ("approvals allow p0", "no approval"),
        ("persona use opz", "did you mean ops?"),
        ("undo r0.1", "r0.1"),
        ("--home FILE runs list", "no directory"),
        ("--home FILE doctor", "no directory"),
    ],
)
def test_wrong_words_end_with_2_and_a_remedy(used: Place, words: str, what: str) -> None:
    """Wrong numbers, ids, places and names are usage errors, told in two lines without a traceback."""
    run = json.loads(used.oxios("runs", "list", "--json").stdout)[0]["id"]
    (used.work / "file").write_text("", encoding="utf-8")
    done = used.oxios(*words.replace("RUN", run).replace("FILE", "file").split())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert what in done.stderr
    assert "\ntry: " in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_are_found_by_status_beyond_the_newest(used: Place) -> None:
    """The limit counts runs of the status asked for, not runs looked at."""
    seed = 'goal = "list ."\nbudget = {tokens = 1}'
    paused = used.submitted("-", stdin=seed)
    assert paused["status"] == "paused"
    assert used.submitted("list .")["status"] == "finished"
    listed = json.loads(used.oxios("runs", "list", "--status", "paused", "--limit", "1", "--json").stdout)
    assert [row["id"] for row in listed] == [paused["run"]]


def test_an_id_may_be_cut_short(used: Place) -> None:
    """A run or seed is named by as much of its id as begins no other; less is refused with the ids it begins."""
    told = used.submitted("list .")
    for noun, whole in (("runs", told["run"]), ("seed", told["seed"])):
        shown = used.oxios(noun, "show", whole[:-1], "--json")
        assert json.loads(shown.stdout)["id" if noun == "seed" else "run"] == whole
        vague = used.oxios(noun, "show", whole[:1])
        assert vague.returncode == 2
        assert whole[:1] in vague.stderr
        assert "try: give more of the id" in vague.stderr
        assert used.oxios(noun, "show", "").returncode == 2
        assert used.oxios(noun, "show", f"{whole}0").returncode == 2
    assert "the same state" in used.oxios("runs", "replay", told["run"][:-2]).stdout
    assert f"run {told['run']} has finished" in used.oxios("runs", "resume", told["run"][:-1]).stderr
    assert f"run {told['run']} has finished" in used.oxios("runs", "cancel", told["run"][:-1]).stderr


def test_what_a_run_shows_is_enough_to_undo_it(used: Place) -> None:
    """`runs show` names each call by the id that `undo` takes; undone, the file is as before."""
    run = json.loads(used.oxios("runs", "list", "--json").stdout)[0]["id"]
    (step,) = json.loads(used.oxios("runs", "show", run, "--json").stdout)["steps"]
    assert f"({step['call']})" in used.oxios("runs", "show", run).stdout
    assert (used.work / "a.txt").exists()
    assert used.oxios("undo", step["call"]).returncode == 0
    assert not (used.work / "a.txt").exists()


def _mounted(folder: Path, size: str) -> bool:
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_full_disk_is_told_and_loses_nothing(place: Place) -> None:
    """With no space left nothing is done and each command says so; with space again everything goes on."""
    disk = place.home.parent / "disk"
    if os.geteuid() != 0 or not _mounted(disk, "2m"):
        pytest.skip("a disk of its own needs root and mount")
    try:
        place.env["OXIOS_HOME"] = str(disk / "home")
        assert place.oxios("seed", "submit", 'write "a" to a.txt', "-q").returncode == 0
        _fill(disk / "rest")
        for words in (("seed", "submit", 'write "b" to b.txt'), ("config", "set", "approval.mode", "auto")):
            done = place.oxios(*words)
            assert (done.returncode, done.stdout) == (8, ""), done.stderr
            assert "\ntry: " in done.stderr
            assert "Traceback" not in done.stderr
        assert not (place.work / "b.txt").exists()
        assert sorted(entry.name for entry in (disk / "home").iterdir()) == ["journal", "keys", "lock", "policy.csv"]
        (disk / "rest").unlink()
        assert place.submitted('write "b" to b.txt')["status"] == "finished"
        assert place.oxios("audit", "verify").returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            return


@pytest.mark.parametrize(
    ("harm", "what"),
    [("no key", "restore keys/ from a backup"), ("garbage", "restore a backup"), ("database gone", "cut off")],
)
def test_a_harmed_home_is_refused_and_kept(used: Place, harm: str, what: str) -> None:
    """A lost key, a database that is none or is gone: exit 8 with what to do, and the rest is left as it was."""
    journal = used.home / "journal"
    match harm:
        case "no key":
            (used.home / "keys" / "journal.key").unlink()
        case "garbage":
            (journal / "oxios.db").write_text("hello", encoding="utf-8")
        case _:
            (journal / "oxios.db").unlink()
    before = {file: file.read_bytes() for file in (journal / "head", journal / "checkpoints")}
    done = used.oxios("seed", "submit", "list .")
    assert (done.returncode, done.stdout) == (8, "")
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert {file: file.read_bytes() for file in before} == before
    assert used.oxios("doctor").returncode == 1


def test_a_key_that_is_missing_is_named_by_the_doctor(used: Place) -> None:
    """`doctor` says which file is missing and what brings it back."""
    (used.home / "keys" / "journal.key").unlink()
    done = used.oxios("doctor", "--json")
    (check,) = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "journal"]
    assert (done.returncode, check["status"], check["remedy"]) == (1, "fail", "restore keys/ from a backup")
    assert "journal.key" in check["detail"]


def test_a_second_oxios_is_refused_by_the_pid_of_the_first_and_may_look(used: Place) -> None:
    """While one works, another that would act names its pid and ends with 8; one that looks is served."""
    with subprocess.Popen(
        [sys.executable, "-m", "oxios", "seed", "submit", "run `sleep 30`"],
        cwd=used.work, env=used.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as first:  # fmt: skip
        assert first.stderr is not None
        assert any("▸ exec sleep" in line for line in first.stderr)
        for words in (("seed", "submit", "list ."), ("caps", "revoke", "c0"), ("persona", "use", "dev")):
            done = used.oxios(*words)
            assert (done.returncode, f"process {first.pid}" in done.stderr) == (8, True), done.stderr
        newest = json.loads(used.oxios("runs", "list", "--json").stdout)[0]
        assert newest["status"] == "running"
        assert used.oxios("audit", "verify").returncode == 0
        first.send_signal(signal.SIGKILL)
    assert json.loads(used.oxios("runs", "list", "--json").stdout)[0]["status"] == "interrupted"


def test_what_a_kill_left_behind_goes_on_with_the_next_submit(place: Place) -> None:
    """After kill -9 the next submit carries the old run to its end beside its own; finished calls stand once."""
    goal = 'write "a" to a.txt, then run `sleep 0.7`, then write "b" to b.txt'
    with subprocess.Popen(
        [sys.executable, "-m", "oxios", "seed", "submit", goal],
        cwd=place.work, env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as first:  # fmt: skip
        assert first.stderr is not None
        assert any("▸ exec sleep" in line for line in first.stderr)
        first.kill()
    done = place.oxios("seed", "submit", "list .")
    assert done.returncode == 0
    assert "was interrupted by a crash; it goes on" in done.stderr
    left = json.loads(place.oxios("runs", "list", "--json").stdout)[1]
    assert left["status"] == "paused"  # Nobody knows whether the command ran: that is asked, not guessed.
    assert "in doubt" in left["note"]
    resumed = place.oxios("runs", "resume", left["id"], "--in-doubt", "done")
    assert resumed.returncode == 0, resumed.stderr
    assert (place.work / "b.txt").read_text(encoding="utf-8") == "b"
    kinds = [(kind, payload.get("tool")) for _, kind, payload in place.log("--run", left["id"])]
    assert kinds.count(("call.intent", "write")) == 2


def test_bash_completes_commands_actions_and_options(place: Place) -> None:
    """The script that `oxios completion bash` prints completes words at each depth, in a real bash."""
    bash = shutil.which("bash")
    assert bash is not None
    script = place.work / "completion.sh"
    script.write_text(place.oxios("completion", "bash").stdout, encoding="utf-8")
    for line, want in (
        ("oxios se", {"seed", "serve", "sessions"}),
        ("oxios seed s", {"submit", "show"}),
        ("oxios seed submit --exit", {"--exit-code"}),
        ("oxios runs li", {"list"}),
        ("oxios approvals list --pen", {"--pending"}),
    ):
        words = line.split()
        probe = (
            f'source "{script}"; COMP_LINE="{line}"; COMP_POINT={len(line)}; COMP_WORDS=({line}); '
            f"COMP_CWORD={len(words) - 1}; "
            f'f=$(complete -p oxios | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$f" oxios "{words[-1]}" "{words[-2]}"; '
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run([bash, "-c", probe], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert set(done.stdout.split()) == want, (line, done.stdout, done.stderr)
