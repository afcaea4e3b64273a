"""`oxios audit` from the outside: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from kernel.ids import KERNEL, Principal
from kernel.journal.entry import Draft
from kernel.journal.lock import instance_lock
from oxios.__main__ import main
from scripts import verify_export
from tests.journal_world import draft, fill, opened, tamper

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a journal of 20 entries: the key's, and 19 calls of the run r1."""
    monkeypatch.setenv("OXIOS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "home", 20, blobs=True)
    return tmp_path / "home"


def _out(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(["audit", *argv]) == code
    return capsys.readouterr().out


def test_verify_is_good_beside_a_process_that_holds_the_home(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good journal exits 0 and says what was checked, also while another process has the lock."""
    with instance_lock(home):
        assert _out(capsys, "verify").startswith("good: 20 entries, 19 blobs, ")
        report = json.loads(_out(capsys, "verify", "--json"))
    assert (report["good"], report["entries"], report["findings"]) == (True, 20, [])


def test_verify_names_what_is_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A broken journal exits 1, with a line a finding, and the same in JSON."""
    tamper(home, "UPDATE entries SET principal = 'user:mallory' WHERE seq = 9")
    assert _out(capsys, "verify", code=1).startswith("BROKEN altered: entry 9 ")
    report = json.loads(_out(capsys, "verify", "--json", code=1))
    assert [(each["kind"], each["seq"]) for each in report["findings"]] == [("altered", 9)]


def test_verify_says_when_it_could_not_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a journal, a key, or a readable checkpoint it exits 2 and says why on stderr."""
    (home / "empty.pub").write_text("")
    for argv in (["--key", str(home / "empty.pub")], ["--key", "nowhere"], ["--checkpoint", "nowhere"]):
        assert main(["audit", "verify", *argv]) == 2
        assert "could not verify: " in capsys.readouterr().err
    assert main(["audit", "verify", "--home", str(home / "elsewhere")]) == 2
    assert not (home / "elsewhere").exists()


def test_verify_trusts_the_given_key_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the right key it is good; with a stranger's nothing that was signed counts."""
    assert main(["audit", "verify", "--key", str(home / "keys" / "journal.pub")]) == 0
    fill(home.parent / "other", 1)
    _out(capsys, "verify", "--key", str(home.parent / "other" / "keys" / "journal.pub"), code=1)


def test_verify_holds_the_journal_to_a_kept_checkpoint(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint printed earlier still verifies; one of a journal that went further shows the rollback."""
    kept = home.parent / "kept"
    kept.write_text(_out(capsys, "checkpoint"))
    assert main(["audit", "verify", "--checkpoint", str(kept)]) == 0
    tamper(home, "DELETE FROM entries WHERE seq > 15", "UPDATE tree SET size = 15")
    assert "BROKEN rolled_back" in _out(capsys, "verify", "--checkpoint", str(kept), code=1)


def test_a_strangers_program_verifies_proofs_and_exports(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `prove` and `export` print is good to the stand-alone verifier, and one changed digit is not."""
    key = str(home / "keys" / "journal.pub")
    proof, export = home.parent / "proof.json", home.parent / "export.jsonl"
    proof.write_text(_out(capsys, "prove", "7"))
    assert main(["audit", "export", "--blobs", "-o", str(export)]) == 0
    for file in (proof, export):
        done = subprocess.run(
            [sys.executable, "-I", str(_ROOT / "scripts" / "verify_export.py"), str(file), "--key", key],
            capture_output=True, text=True, check=False, cwd=home,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith("good: ")
        file.write_text(file.read_text().replace('{\\"number\\":7}', '{\\"number\\":8}'))
        assert verify_export.main([str(file), "--key", key]) == 1
    proof.write_text(proof.read_text().replace('"seq": 7', '"seq": 8'))
    assert verify_export.main([str(proof), "--key", key]) == 1


def test_an_export_that_cannot_be_written_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in no folder is wrong usage with a remedy, not an error of the program."""
    place = home / "none" / "export.jsonl"
    assert main(["audit", "export", "-o", str(place)]) == 2
    assert f"{place} cannot be written: No such file or directory\ntry: " in capsys.readouterr().err


@pytest.mark.parametrize("words", [("audit", "export"), ("audit", "log", "--json"), ("config", "schema")])
def test_a_full_disk_under_the_output_is_told(home: Path, words: tuple[str, ...]) -> None:
    """Where what is printed finds no room, it is said in words, with an exit code of a failure and no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "oxios", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=home, env=os.environ,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 2), done.stderr
    assert "not whole: [Errno 28] No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"principal":"agent:r1"', '"principal":"agent:r2"', 1),
        ('"seq":9,', '"seq":10,', 1),
        ('"entries"', "entries", 2),
        ('"checkpoint":"oxios', '"checkpoint":"axios', 1),
        ('{\\"number\\":12}"', '{\\"number\\":12}', 1),
        ("oxios-journal/1", "oxios-journal/9", 2),
    ],
)
def test_a_changed_export_is_broken(
    home: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: int
) -> None:
    """Whatever is changed in an export, the stand-alone verifier does not call it good."""
    text = _out(capsys, "export")
    assert old in text
    (home / "export").write_text(text.replace(old, new, 1))
    assert verify_export.main([str(home / "export"), "--key", str(home / "keys" / "journal.pub")]) == code


def test_an_export_of_texts_with_other_line_ends_is_good(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """U+2028 and the like end no line of JSON, whatever Python's `splitlines` says."""

    async def add() -> None:
        async with opened(home) as journal:
            for end in "\u2028\u2029\x85\x0b\x0c\x1c":
                await journal.append(Draft(Principal("agent:r1"), "r1", "call.outcome", {"text": f"a{end}b"}))

    anyio.run(add)
    (home / "export").write_text(_out(capsys, "export"), encoding="utf-8")
    assert verify_export.main([str(home / "export"), "--key", str(home / "keys" / "journal.pub")]) == 0


@pytest.mark.parametrize(("text", "code"), [("", 2), ("no JSON\n", 2), ('{"format":"oxios-journal/1"}\n', 1)])
def test_what_is_no_export_is_told(home: Path, text: str, code: int) -> None:
    """Neither an empty file nor another's is an error of the program."""
    (home / "export").write_text(text)
    assert verify_export.main([str(home / "export"), "--key", str(home / "keys" / "journal.pub")]) == code


def test_a_header_that_tells_another_number_is_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a reader of the export sees first is what was signed."""
    (home / "export").write_text(_out(capsys, "export").replace('"entries":20', '"entries":21'))
    assert verify_export.main([str(home / "export"), "--key", str(home / "keys" / "journal.pub")]) == 1


def test_an_export_that_lost_a_line_is_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any missing line, the last too, is noticed."""
    lines = _out(capsys, "export").splitlines(keepends=True)
    for lost in (1, 9, len(lines) - 1):
        (home / "export").write_text("".join(lines[:lost] + lines[lost + 1 :]))
        assert verify_export.main([str(home / "export"), "--key", str(home / "keys" / "journal.pub")]) == 1


@pytest.mark.usefixtures("home")
def test_consistency_is_proved(capsys: pytest.CaptureFixture[str]) -> None:
    """Two sizes give a path; a size beyond the journal is a usage error."""
    proof = json.loads(_out(capsys, "consistency", "3", "20"))
    assert (proof["old"], proof["new"]) == (3, 20)
    assert proof["path"]
    _out(capsys, "consistency", "3", "21", code=2)
    _out(capsys, "prove", "21", code=2)


@pytest.mark.usefixtures("home")
def test_log_narrows_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    """Run, kind, principal, start and number narrow what is shown; --json gives export records."""
    assert len(_out(capsys, "log").splitlines()) == 20
    assert len(_out(capsys, "log", "--run", "r1").splitlines()) == 19
    assert len(_out(capsys, "log", "--kind", "key.created").splitlines()) == 1
    assert len(_out(capsys, "log", "--principal", "agent:r1", "--limit", "5").splitlines()) == 5
    assert not _out(capsys, "log", "--run", "nobody")
    record = json.loads(_out(capsys, "log", "--after", "19", "--json"))
    assert (record["seq"], record["kind"], record["payload"]) == (20, "call.intent", '{"number":20}')


def test_log_shows_no_control_characters(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an agent wrote cannot drive the terminal of who reads it."""
    import anyio  # noqa: PLC0415 -- this test only

    async def write() -> None:
        async with opened(home) as journal:
            await journal.append(Draft(KERNEL, "kernel", "x.y", {"t": "\x1b]0;owned\x07\u202egnp"}))

    anyio.run(write)
    shown = _out(capsys, "log", "--after", "20")
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_log_follows_what_another_process_commits(home: Path) -> None:
    """With --follow, entries committed later by someone else appear as they come."""
    import anyio  # noqa: PLC0415 -- this test only

    async def write() -> None:
        async with opened(home) as journal:
            await journal.append(draft(77))

    follower = subprocess.Popen(
        [sys.executable, "-m", "oxios", "audit", "log", "--follow", "--after", "19", "--json"],
        cwd=_ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "OXIOS_HOME": str(home)},
    )  # fmt: skip
    assert follower.stdout is not None
    try:
        assert json.loads(follower.stdout.readline())["seq"] == 20
        anyio.run(write)
        assert json.loads(follower.stdout.readline())["payload"] == '{"number":77}'
    finally:
        follower.kill()
        follower.stdout.close()
        follower.wait(10)


def test_a_key_is_rotated_and_the_journal_stays_good(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """rotate-key prints the new public key; with that alone, and with the old one alone, all verifies."""
    old = (home / "keys" / "journal.pub").read_text()
    new = _out(capsys, "rotate-key")
    assert (home / "keys" / "journal.pub").read_text() == old + new
    for name, key in (("old", old), ("new", new)):
        (home / name).write_text(key)
        assert _out(capsys, "verify", "--key", str(home / name)).startswith("good: 21 entries")


def test_a_payload_is_erased(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Erase removes it for ever, with a reason in the journal; its content is in no file of the home."""
    record = json.loads(_out(capsys, "log", "--after", "8", "--limit", "1", "--json"))
    blob = record["blobs"][0]
    for digest in (record["digest"], blob):
        _out(capsys, "erase", digest, "--reason", "asked to forget")
    assert _out(capsys, "verify").startswith("good: 22 entries, 18 blobs, 2 erased")
    assert "(erased)" in _out(capsys, "log", "--after", "8", "--limit", "1")
    assert "asked to forget" in _out(capsys, "log", "--kind", "blob.erased")
    _out(capsys, "erase", blob, "--reason", "again", code=2)
    _out(capsys, "erase", "nonsense", "--reason", "none", code=2)
    assert not [path for path in home.rglob("*") if path.is_file() and b"blob 9" in path.read_bytes()]


def test_writing_acts_are_refused_while_the_home_is_taken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """rotate-key and erase need the home's lock, and say who has it."""
    with instance_lock(home):
        for argv in (["rotate-key"], ["erase", "00" * 32, "--reason", "x"]):
            assert main(["audit", *argv]) == 8
            assert str(os.getpid()) in capsys.readouterr().err


def test_what_is_json_anyway_takes_the_flag(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is the same everywhere: proofs and exports, which have no other form, take it too."""
    for words in (["prove", "3"], ["consistency", "3", "9"]):
        assert json.loads(_out(capsys, *words, "--json")) == json.loads(_out(capsys, *words))
    assert _out(capsys, "export", "--json") == _out(capsys, "export")


def test_the_log_of_a_run_is_found_by_what_begins_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--run` takes as much of an id as begins no other run, as every command does; more than none with `--limit`."""
    monkeypatch.setenv("OXIOS_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    for _ in range(2):
        assert main(["seed", "submit", "list .", "--workspace", str(tmp_path / "work"), "-q"]) == 0
    capsys.readouterr()
    assert main(["runs", "list", "--json"]) == 0
    one = str(json.loads(capsys.readouterr().out)[0]["id"])
    assert _out(capsys, "log", "--run", one[:-3]) == _out(capsys, "log", "--run", one) != ""
    assert main(["audit", "log", "--run", one[:2]]) == 2
    assert "begins several runs" in capsys.readouterr().err
    assert main(["audit", "log", "--limit", "-1"]) == 2
