"""`oxios config` from the outside: what it prints, where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oxios.__main__ import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OXIOS_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def _out(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(["config", *argv]) == code
    return capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_set_then_get(capsys: pytest.CaptureFixture[str]) -> None:
    """What was set is what is got: texts bare for scripts, lists as JSON; talk goes to stderr."""
    assert not _out(capsys, "set", "approval.mode", "manual")
    assert _out(capsys, "get", "approval.mode") == "manual\n"
    assert main(["config", "set", "approval.allow", "write,edit"]) == 0
    captured = capsys.readouterr()
    assert not captured.out
    assert 'approval.allow = ["write", "edit"] in ' in captured.err
    assert _out(capsys, "get", "approval.allow") == '["write", "edit"]\n'
    assert main(["config", "set", "-q", "approval.mode", "auto"]) == 0
    assert not capsys.readouterr().err
    assert not _out(capsys, "unset", "approval.mode")
    assert _out(capsys, "get", "approval.mode") == "allow-list\n"


def test_get_shows_each_values_origin(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default, user with line, project, environment and flag are told apart, as text and as JSON."""
    home.mkdir()
    (home / "config.toml").write_text("[run]\ncalls_max = 7\n")
    Path(".oxios.toml").write_text("run.turns_max = 3\n")
    monkeypatch.setenv("OXIOS__LOG__LEVEL", "error")
    out = json.loads(_out(capsys, "get", "--origin", "--json", "--set", "log.json=true"))
    assert out["run.calls_max"] == {"value": 7, "origin": f"user: {home / 'config.toml'}:2"}
    assert out["run.turns_max"]["origin"].startswith("project: ")
    assert out["log.level"]["origin"] == "environment: OXIOS__LOG__LEVEL"
    assert out["log.json"]["origin"] == "flag: --set log.json"
    assert out["run.grant"] == {"value": "worker", "origin": "default"}
    assert "run.calls_max = 7" in _out(capsys, "get", "run", "--origin")
    assert json.loads(_out(capsys, "get", "run", "--json")).keys() >= {"run.turns_max", "run.calls_max"}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["get", "aproval.mode"], "did you mean approval.mode?"),
        (["set", "run.turns_max", "0"], "from 1 to 10000"),
        (["set", "run.turn_max", "1"], "did you mean run.turns_max?"),
        (["unset", "run.turns_max"], "is not set"),
        (["validate", "nowhere.toml"], "there is no file"),
        (["get", "providers.nobody.kind"], "it is not set"),
        (["get", "--set", "nonsense"], "not KEY=VALUE"),
        (["get", "--set", "run.turns_max=x"], "--set run.turns_max: run.turns_max: "),
        ([], "ACTION"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_way_out(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    """Wrong keys, values and files: exit 2, nothing on stdout, an error and a remedy on stderr."""
    assert main(["config", *argv]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("error: ")
    assert "\ntry: " in captured.err
    assert words in captured.err


def test_validate_tells_good_from_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 and ok; 1 and a line for each problem; a file named .oxios.toml is held to a project's rules."""
    assert _out(capsys, "validate") == "ok\n"
    home.mkdir()
    (home / "config.toml").write_text("[run]\nturns_max = 0\nfoo = 1\n")
    out = _out(capsys, "validate", code=1)
    assert f"{home / 'config.toml'}:2: run.turns_max: " in out
    assert f"{home / 'config.toml'}:3: run.foo: " in out
    report = json.loads(_out(capsys, "validate", "--json", code=1))
    assert (report["ok"], len(report["problems"])) == (False, 2)
    text = '[approval]\nmode = "auto"\n'
    Path("x.toml").write_text(text)
    assert _out(capsys, "validate", "x.toml") == "ok\n"
    Path(".oxios.toml").write_text(text)
    assert "a project file may only tighten" in _out(capsys, "validate", ".oxios.toml", code=1)


def test_path_and_schema(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that `set` edits, every file that is read, and every setting explained."""
    assert _out(capsys, "path") == f"{home / 'config.toml'}\n"
    assert [line.split()[0] for line in _out(capsys, "path", "--all").splitlines()] == ["system", "user", "project"]
    assert "approval.mode = " in _out(capsys, "schema")
    assert json.loads(_out(capsys, "schema", "--json"))["properties"]["approval"]["properties"]["mode"]["enum"]


@pytest.mark.usefixtures("home")
def test_the_home_flag_beats_the_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--home` works before and after the command."""
    other = tmp_path / "other"
    assert main(["--home", str(other), "config", "set", "log.json", "true"]) == 0
    assert (other / "config.toml").read_text() == "[log]\njson = true\n"
    capsys.readouterr()
    assert main(["config", "get", "log.json", f"--home={other}"]) == 0
    assert capsys.readouterr().out == "true\n"
