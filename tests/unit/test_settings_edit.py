"""Editing the home's file: comments kept, all or nothing, what is read back is what was set."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from threading import Thread

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import Conflict, NotFound
from kernel.settings import edit, load_settings
from kernel.settings.edit import replace_file, set_value, unset_value
from kernel.settings.load import SPECS
from kernel.settings.record import changed, record
from kernel.settings.schema import json_schema, rows
from kernel.settings.source import SettingsInvalid

ENV = {"HOME": "/h"}
WRITTEN = """# mine
[approval]
mode = "manual"  # I like to be asked

# limits
[run]
turns_max = 20
"""


def _home(tmp_path: Path, text: str = "") -> Path:
    if text:
        (tmp_path / "config.toml").write_text(text)
        (tmp_path / "config.toml").chmod(0o644)
    return tmp_path


def test_a_value_changes_and_everything_else_stays(tmp_path: Path) -> None:
    """Comments, order and blank lines of the rest of the file are kept byte for byte."""
    home = _home(tmp_path, WRITTEN)
    assert set_value(home, "run.turns_max", "30", ENV) == (20, 30)
    assert (home / "config.toml").read_text() == WRITTEN.replace("20", "30")


def test_the_file_is_the_users_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """Mode 0600 after an edit, whatever it was; no temporary file remains; a missing home is made 0700."""
    home = _home(tmp_path, WRITTEN)
    set_value(home, "run.turns_max", "30", ENV)
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["config.toml"]
    set_value(home / "new", "run.turns_max", "30", ENV)
    assert stat.S_IMODE((home / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("run.turns_max", "0", "from 1 to 10000"),
        ("run.turn_max", "5", "did you mean run.turns_max"),
        ("run", "5", "this is a table"),
        ("model.default", "nobody/x", "no provider 'nobody'"),
        ("providers.p.kind", "telepathy", "not one of"),
        ("home", "/x", "OXIOS_HOME"),
    ],
)
def test_a_refused_value_leaves_the_file_untouched(tmp_path: Path, key: str, value: str, what: str) -> None:
    """Bad value, unknown key, or a contradiction with the rest: the bytes and the mode stay."""
    home = _home(tmp_path, WRITTEN)
    with pytest.raises(SettingsInvalid, match=what):
        set_value(home, key, value, ENV)
    assert (home / "config.toml").read_text() == WRITTEN
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o644
    assert [file.name for file in home.iterdir()] == ["config.toml"]


def test_a_file_changed_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and replacing, another editor wrote: the edit is refused and theirs stays."""
    home = _home(tmp_path, WRITTEN)

    def meanwhile(**_: object) -> None:
        (home / "config.toml").write_text("# theirs\n")

    monkeypatch.setattr(edit, "resolve", meanwhile)
    with pytest.raises(Conflict, match="meanwhile"):
        set_value(home, "run.turns_max", "30", ENV)
    assert (home / "config.toml").read_text() == "# theirs\n"


def test_unset_takes_a_value_or_a_table_away(tmp_path: Path) -> None:
    """What is removed falls back to its default; what is not there is said to be not there."""
    home = _home(tmp_path, WRITTEN)
    assert unset_value(home, "run.turns_max", ENV) == 20
    assert load_settings(cwd=tmp_path, env=ENV, home=home).run.turns_max == 100
    with pytest.raises(NotFound, match="is not set"):
        unset_value(home, "run.turns_max", ENV)
    with pytest.raises(NotFound, match="did you mean"):
        unset_value(home, "run.turn_max", ENV)
    unset_value(home, "approval", ENV)
    assert "manual" not in (home / "config.toml").read_text()


def test_unset_repairs_a_file_with_an_unknown_key(tmp_path: Path) -> None:
    """A key that makes the file invalid can be removed by the command that edits it."""
    home = _home(tmp_path, "[run]\nturn_max = 3\n")
    unset_value(home, "run.turn_max", ENV)
    load_settings(cwd=tmp_path, env=ENV, home=home)


EDITS = {
    "run.turns_max": st.integers(1, 10_000).map(str),
    "run.usd_max": st.sampled_from(["none", "0", "1.25"]),
    "run.tokens_max": st.sampled_from(["none", "7"]),
    "approval.mode": st.sampled_from(["manual", "auto", "allow-list"]),
    "approval.policies.exec": st.sampled_from(["auto", "always"]),
    "approval.policies.runs.start": st.sampled_from(["auto", "always"]),
    "approval.policies.web_fetch": st.sampled_from(["on_demand", "always"]),
    "approval.allow": st.lists(st.sampled_from(["write", "exec:git"]), unique=True).map(json.dumps),
    "providers.a.base_url": st.sampled_from(["http://h/v1", "https://x.example:8443/v1"]),
    "providers.a-b.base_url": st.just("http://h/v1"),
    "log.json": st.booleans().map(str),
    "paths.denied": st.sampled_from(["/a, ~/b", "[]", '["/with, comma"]']),
}
ONE_EDIT = st.sampled_from(sorted(EDITS)).flatmap(lambda key: st.tuples(st.just(key), EDITS[key]))


@given(st.lists(ONE_EDIT, max_size=8), st.sampled_from(["", WRITTEN, "run = { turns_max = 3 }\n", "log.json = true\n"]))
@settings(max_examples=60)
def test_what_is_set_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str]], start: str
) -> None:
    """After any sequence of edits the settings are those of the same values given as flags."""
    home = _home(tmp_path_factory.mktemp("home"), start)
    for key, value in edits:
        set_value(home, key, value, ENV)
    from_file = load_settings(cwd=home, env=ENV, home=home)
    fresh = _home(tmp_path_factory.mktemp("fresh"), start)
    from_flags = load_settings(cwd=fresh, env=ENV, home=fresh, overrides=dict(edits))
    assert record(from_file) == record(from_flags)
    assert not changed(record(from_file), record(from_flags))


def test_a_change_is_recorded_with_both_values(tmp_path: Path) -> None:
    """The record of what changed holds the key, the value before and the value after, and nothing else."""
    plain = record(load_settings(cwd=tmp_path, env=ENV, home=tmp_path))
    other = record(
        load_settings(
            cwd=tmp_path, env=ENV, home=tmp_path, overrides={"run.usd_max": "2", "approval.policies.x": "auto"}
        )
    )
    assert changed(plain, other) == {"run.usd_max": [None, 2.0], "approval.policies.x": [None, "auto"]}
    assert "home" not in plain


def test_the_schema_and_the_list_name_every_setting() -> None:
    """One row a setting, with its meaning; the schema accepts the defaults and refuses what the loader refuses."""
    assert [row.key for row in rows()] == [spec.key for spec in SPECS]
    assert all(row.doc.endswith(".") and row.allowed and row.project for row in rows())
    schema = jsonschema_rs.validator_for(dict(json_schema()))
    defaults: dict[str, dict[str, object]] = {}
    for row in rows():
        first, _, rest = row.key.partition(".")
        if "*" not in row.key:
            defaults.setdefault(first, {})[rest] = row.default
    assert schema.is_valid(defaults)
    assert schema.is_valid({"providers": {"p": {"kind": "openai"}}, "approval": {"policies": {"exec": "always"}}})
    assert not schema.is_valid({"run": {"turns_max": 0}})
    assert not schema.is_valid({"run": {"turn_max": 1}})
    assert not schema.is_valid({"providers": {"Bad Name": {}}})
    assert not schema.is_valid({"providers": {"p": {"key_env": "sk-123"}}})


def test_of_two_who_replace_the_same_text_at_once_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes between the look and the replacement waits, and finds another text than it saw."""
    file, move, refused = tmp_path / "one.md", Path.replace, list[Conflict]()
    file.write_bytes(b"seen")

    def later() -> None:
        try:
            replace_file(file, b"seen", b"theirs")
        except Conflict as error:
            refused.append(error)

    other = Thread(target=later)

    def slow(self: Path, target: Path) -> Path:
        if other.ident is None:
            other.start()
            other.join(0.2)
        return move(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    replace_file(file, b"seen", b"mine")
    other.join()
    assert (file.read_bytes(), len(refused)) == (b"mine", 1)
