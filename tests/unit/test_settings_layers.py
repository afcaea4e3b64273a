"""Layers, origins, and what every error says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.settings import load_settings
from kernel.settings.load import SPECS, find_project_file, home_of, resolve
from kernel.settings.source import FILE_BYTES_MAX, SettingsInvalid, from_text, locate


class Place:
    """A home, a system file and a project folder, with nothing in them."""

    def __init__(self, root: Path) -> None:
        self.home, self.system = root / "home", root / "etc.toml"
        self.project = root / "repo"
        self.home.mkdir()
        (self.project / ".git").mkdir(parents=True)
        (self.project / "deep").mkdir()

    def write(self, *, system: str = "", user: str = "", project: str = "") -> None:
        for file, text in (
            (self.system, system),
            (self.home / "config.toml", user),
            (self.project / ".oxios.toml", project),
        ):
            if text:
                file.write_text(text)
                file.chmod(0o600)

    def resolve(self, env: dict[str, str] | None = None, **overrides: str):
        return resolve(
            cwd=self.project / "deep",
            env={"HOME": "/h", "OXIOS_HOME": str(self.home)} | (env or {}),
            overrides={key.replace("__", "."): value for key, value in overrides.items()},
            system_file=self.system,
        )

    def problem(self, env: dict[str, str] | None = None, **overrides: str) -> str:
        with pytest.raises(SettingsInvalid) as caught:
            self.resolve(env, **overrides)
        assert caught.value.remedy
        return "\n".join(caught.value.problems)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_each_layer_beats_the_one_below(place: Place) -> None:
    """Defaults < system < user < project < environment < flags, each seen in the value and its origin."""
    found = place.resolve()
    assert (found.settings.run.turns_max, "run.turns_max" in found.origins) == (100, False)
    place.write(system="[run]\nturns_max = 90\n")
    assert place.resolve().settings.run.turns_max == 90
    place.write(user="# hello\n\n[run]\nturns_max = 80\n")
    found = place.resolve()
    assert (found.settings.run.turns_max, str(found.origins["run.turns_max"])) == (
        80,
        f"{place.home / 'config.toml'}:4",
    )
    place.write(project="run.turns_max = 70\n")
    found = place.resolve()
    assert (found.settings.run.turns_max, found.origins["run.turns_max"].layer) == (70, "project")
    found = place.resolve({"OXIOS__RUN__TURNS_MAX": "85"})
    assert (found.settings.run.turns_max, str(found.origins["run.turns_max"])) == (85, "OXIOS__RUN__TURNS_MAX")
    found = place.resolve({"OXIOS__RUN__TURNS_MAX": "85"}, run__turns_max="95")
    assert (found.settings.run.turns_max, str(found.origins["run.turns_max"])) == (95, "--set run.turns_max")


def test_defaults_are_inside_their_own_bounds() -> None:
    """Every default is a value that the same setting would accept from a file."""
    for spec in SPECS:
        if spec.default is not None:
            raw = list(spec.default) if isinstance(spec.default, tuple) else spec.default
            assert spec.kind.read(raw) == spec.default, spec.key


def test_the_home_is_the_flag_then_oxios_home_then_the_users(tmp_path: Path) -> None:
    """`--home` beats OXIOS_HOME, which beats ~/.oxios."""
    assert home_of({"HOME": "/h"}) == Path("/h/.oxios")
    assert home_of({"HOME": "/h", "OXIOS_HOME": "/o"}) == Path("/o")
    flag = tmp_path / "f"
    assert load_settings(cwd=tmp_path, env={"HOME": "/h", "OXIOS_HOME": "/o"}, home=flag).home == flag


def test_the_tilde_is_the_users_home(place: Place) -> None:
    """paths.denied comes out absolute."""
    place.write(user='paths.denied = ["~/x", "/y"]\n')
    assert place.resolve().settings.paths.denied == ("/h/x", "/y")


def test_providers_and_policies_have_names_of_the_operators_choice(place: Place) -> None:
    """Tables under free names are built with defaults where a key is missing."""
    place.write(
        user="""
[providers.local]
base_url = "http://127.0.0.1:8000/v1"
output_usd_per_mtok = 2

[approval.policies]
web_fetch = "always"
"runs.fork" = "always"
""",
    )
    settings = place.resolve(
        {"OXIOS__APPROVAL__POLICIES__EXEC": "auto"},
        model__default="local/m",
        approval__policies__runs__start="always",
    ).settings
    assert settings.providers["local"].kind == "openai"
    assert settings.providers["local"].output_usd_per_mtok == 2.0
    assert settings.providers["embedded"].kind == "embedded"
    assert dict(settings.approval.policies) == {
        "web_fetch": "always",
        "runs.fork": "always",
        "exec": "auto",
        "runs.start": "always",
    }


@pytest.mark.parametrize(
    ("kind", "address"), [("openai", "https://api.openai.com/v1"), ("anthropic", "https://api.anthropic.com")]
)
def test_a_kind_alone_is_enough(place: Place, kind: str, address: str) -> None:
    """Without an address a provider is where its maker serves it; one that was given is kept."""
    place.write(user=f"providers.a.kind = '{kind}'\n[providers.b]\nkind = '{kind}'\nbase_url = 'http://h/v1'\n")
    providers = place.resolve().settings.providers
    assert (providers["a"].base_url, providers["b"].base_url) == (address, "http://h/v1")
    assert (providers["a"].first_byte_s, providers["embedded"].base_url) == (120.0, "")


WRONG = [
    ("[approval]\nmode = 'sometimes'\n", 2, "approval.mode", "manual", "sometimes"),
    ("[run]\n\nturns_max = 0\n", 3, "run.turns_max", "from 1 to 10000", "out of bounds"),
    ("[run]\nturns_max = 10001\n", 2, "run.turns_max", "from 1 to 10000", "out of bounds"),
    ("[run]\nturns_max = 1.5\n", 2, "run.turns_max", "whole number", "1.5"),
    ("[run]\nturns_max = true\n", 2, "run.turns_max", "whole number", "true"),
    ("[run]\nusd_max = nan\n", 2, "run.usd_max", "none", "out of bounds"),
    ("[log]\njson = 'yes'\n", 2, "log.json", "true or false", "yes"),
    ("[sandbox]\nenv = ['A', 'b c']\n", 2, "sandbox.env", "NAME", "not"),
    ("[sandbox]\nenv = 'A'\n", 2, "sandbox.env", "list", "A"),
    ("[aproval]\nmode = 'auto'\n", 1, "aproval", "approval", "no such"),
    ("[approval]\nmodus = 'auto'\n", 2, "approval.modus", "approval.mode", "no such"),
    ("approval = 3\n", 1, "approval", "[approval]", "table"),
    ("home = '/x'\n", 1, "home", "OXIOS_HOME", "not a setting"),
    ("[[run]]\nturns_max = 3\n", 1, "run", "[run]", "table"),
    ("providers.'Bad Name'.kind = 'openai'\n", 1, "providers.Bad Name", "", "no such"),
    ("[approval.policies.runs]\nstart = 'always'\n", 1, "approval.policies.runs", "auto", "not one of them"),
    ("x = [\n 1,\n]\n[run]\nturns_max = 'a'\n", 5, "run.turns_max", "whole number", "not a number"),
    ("[model]\ndefault = 'nobody/x'\n", 2, "model.default", "embedded", "nobody"),
    ("[providers.p]\nidle_s = 0\n", 2, "providers.p.idle_s", "from 0.01", "out of bounds"),
    ("[search]\nprovider = 'searxng'\n", 2, "search.url", "URL", "SearXNG"),
    ("[search]\nprovider = 'brave'\n", 2, "search.key_env", "NAME", "Brave"),
    ("[run]\nturns_max = \n", 2, "", "", "not TOML"),
    ("[run]\n[run]\n", 2, "", "", "not TOML"),
]


@pytest.mark.parametrize("case", WRONG, ids=[case[0][:30] for case in WRONG])
def test_an_error_names_file_line_key_fault_and_what_is_allowed(
    place: Place, case: tuple[str, int, str, str, str]
) -> None:
    """Whatever is wrong in a file, the error says where and what to write instead."""
    text, line, key, allowed, what = case
    place.write(user=text)
    problem = place.problem()
    assert f"{place.home / 'config.toml'}:{line}: " in problem
    assert key in problem
    assert allowed in problem
    assert what in problem


def test_all_problems_are_told_at_once(place: Place) -> None:
    """Two wrong settings in two layers make two lines."""
    place.write(user="[run]\nturns_max = 0\n", project="[log]\nlevel = 'loud'\n")
    assert len(place.problem().splitlines()) == 2


def test_environment_and_flags_are_named_as_they_were_given(place: Place) -> None:
    """An error outside files names the variable or the flag, and a misspelt one has its neighbour named."""
    assert "OXIOS__RUN__TURNS_MAX: run.turns_max: " in place.problem({"OXIOS__RUN__TURNS_MAX": "many"})
    assert "did you mean run.turns_max?" in place.problem({"OXIOS__RUN__TURN_MAX": "3"})
    assert "--set approval.mode: approval.mode: " in place.problem(approval__mode="x")


@pytest.mark.parametrize(
    "text",
    [
        "[providers.p]\nkey_env = 'sk-abcdef123'\n",
        "[providers.p]\napi_key = 'sk-abcdef123'\n",
        "[providers.p]\nbase_url = 'https://u:sk-abcdef123@host/v1'\n",
        "[providers.p]\nbase_url = 'https://host/v1?key=sk-abcdef123'\n",
        "[journal]\nurl = 'postgresql://u:sk-abcdef123@host/db'\n",
        "[search]\nkey_env = 'sk-abcdef123'\n",
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_repeated(place: Place, text: str) -> None:
    """Keys and passwords are named by variable; one that stands in a file never reaches the terminal."""
    place.write(user=text)
    assert "sk-abcdef123" not in place.problem()


def test_urls_without_secrets_are_accepted(place: Place) -> None:
    """The forms an operator needs: a provider's URL, a database's, SQLite's."""
    for url in ("", "postgresql://oxios@db.lan/oxios", "postgresql:///oxios?host=/run/pg", "sqlite:///srv/j.db"):
        assert place.resolve(journal__url=url).settings.journal.url == url


def test_a_file_that_everybody_may_write_is_refused(place: Place) -> None:
    """Whoever can write the user's file rules the agent, so its mode is checked; 0600 passes."""
    place.write(user="[run]\nturns_max = 5\n")
    (place.home / "config.toml").chmod(0o666)
    assert "everybody on this machine may write it" in place.problem()
    (place.home / "config.toml").chmod(0o600)
    assert place.resolve().settings.run.turns_max == 5


def test_unreadable_files_are_named(place: Place) -> None:
    """Not UTF-8, a folder in the file's place, and a file of one byte too many each say so."""
    file = place.home / "config.toml"
    file.write_bytes(b"# ok\nx = '\xff'\n")
    assert f"{file}:2: not UTF-8" in place.problem()
    file.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert "too many" in place.problem()
    file.write_bytes(b"#" * FILE_BYTES_MAX)
    place.resolve()
    file.unlink()
    file.mkdir()
    assert "cannot be read" in place.problem()


def test_the_project_file_is_looked_for_up_to_the_repositorys_root_only(tmp_path: Path) -> None:
    """The nearest one counts; none above the root, and outside a repository only the folder's own."""
    (tmp_path / ".oxios.toml").write_text("")
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "a" / "b").mkdir(parents=True)
    assert find_project_file(tmp_path / "repo" / "a" / "b") is None
    (tmp_path / "repo" / ".oxios.toml").write_text("")
    assert find_project_file(tmp_path / "repo" / "a" / "b") == tmp_path / "repo" / ".oxios.toml"
    (tmp_path / "repo" / "a" / ".oxios.toml").write_text("")
    assert find_project_file(tmp_path / "repo" / "a" / "b") == tmp_path / "repo" / "a" / ".oxios.toml"
    (tmp_path / "plain").mkdir()
    assert find_project_file(tmp_path / "plain") is None
    assert find_project_file(tmp_path) == tmp_path / ".oxios.toml"


NAMES = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.sampled_from(
    ["1", "'x'", "[1, 2]", "[\n  1,\n  # c\n  2,\n]", '"""\n[no]\nx = 1\n"""', "{ p = 1, q = { r = 2 } }"]
)


@given(st.lists(st.tuples(st.booleans(), NAMES, NAMES, VALUES), max_size=6))
def test_every_key_of_a_valid_file_is_located_on_the_line_it_is_written_on(
    statements: list[tuple[bool, str, str, str]],
) -> None:
    """Headers, dotted keys, inline tables and values over many lines do not shift a line number."""
    text, header, want = "", (), dict[tuple[str, ...], int]()
    for as_header, first, second, value in statements:
        line = text.count("\n") + 1
        if as_header:
            header = (first, second)
            text += f"[{first}.{second}]  # note\n\n"
        else:
            key = (*header, first, second)
            text += f"{first}.{second} = {value}\n"
            want.setdefault(key, line)
    try:
        parsed = from_text(text.encode(), "f", "user")
    except SettingsInvalid:
        return
    located = locate(text)
    for key, line in want.items():
        assert located[key] == line
    for one in parsed:
        assert one.origin.line is not None
