"""A project file can only tighten: field by field, and policy by policy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import KernelBug
from kernel.settings.kinds import Flag, Number, Word
from kernel.settings.load import SPECS, resolve
from kernel.settings.policy import Free, Loosens, Lower, Operator, Stricter, Subset, Union
from kernel.settings.source import SettingsInvalid
from kernel.settings.spec import Spec, walk
from kernel.settings.tree import Settings

POLICIES: dict[str, type] = {
    "journal.url": Operator,
    "journal.synchronous": Operator,
    "model.default": Operator,
    "providers.*.kind": Operator,
    "providers.*.base_url": Operator,
    "providers.*.key_env": Operator,
    "providers.*.connect_s": Operator,
    "providers.*.first_byte_s": Operator,
    "providers.*.idle_s": Operator,
    "providers.*.input_usd_per_mtok": Operator,
    "providers.*.output_usd_per_mtok": Operator,
    "approval.mode": Stricter,
    "approval.allow": Subset,
    "approval.policies.*": Stricter,
    "approval.wait_s": Lower,
    "sandbox.tier": Stricter,
    "sandbox.env": Subset,
    "sandbox.deadline_s": Lower,
    "sandbox.memory_mb": Lower,
    "sandbox.processes": Lower,
    "sandbox.descriptors": Lower,
    "sandbox.output_mb": Lower,
    "sandbox.workspace_mb": Lower,
    "sandbox.workspace_files": Lower,
    "paths.denied": Union,
    "commands.denied": Union,
    "network.private_hosts": Subset,
    "providers.*.keys": Operator,
    "providers.*.vendor": Operator,
    "providers.*.requests_per_min": Operator,
    "providers.*.tokens_per_min": Operator,
    "providers.*.concurrent": Operator,
    "models.*.context": Operator,
    "models.*.output": Operator,
    "models.*.input_usd_per_mtok": Operator,
    "models.*.output_usd_per_mtok": Operator,
    "models.*.cached_usd_per_mtok": Operator,
    "models.*.written_usd_per_mtok": Operator,
    "models.*.modalities": Operator,
    "routing.fallbacks": Operator,
    "routing.phases.*": Operator,
    "routing.personas.*": Operator,
    "routing.deadline_s": Lower,
    "routing.wait_s": Lower,
    "routing.keyring": Operator,
    "search.provider": Operator,
    "search.url": Operator,
    "search.key_env": Operator,
    "run.turns_max": Lower,
    "run.deadline_s": Lower,
    "run.grant": Stricter,
    "run.network": Subset,
    "run.tokens_max": Lower,
    "run.calls_max": Lower,
    "run.usd_max": Lower,
    "run.seconds_max": Lower,
    "cycle.generations_max": Lower,
    "cycle.clarify_rounds_max": Lower,
    "cycle.score_min": Free,
    "cycle.session_tokens_max": Lower,
    "cycle.session_usd_max": Lower,
    "log.level": Free,
    "log.json": Free,
    "persona.default": Free,
    "server.host": Operator,
    "server.port": Operator,
    "server.url": Operator,
    "server.allowed_hosts": Subset,
    "server.secure_cookies": Operator,
}

# key: what the user's file says, what a project may say and what comes out, what it may not say
TIGHTENING: dict[str, tuple[str, str, object, str]] = {
    "routing.deadline_s": ("200", "100", 100.0, "300"),
    "routing.wait_s": ("60", "0", 0.0, "61"),
    "approval.mode": ('"allow-list"', '"manual"', "manual", '"auto"'),
    "approval.allow": ('["write", "edit"]', '["edit"]', ("edit",), '["edit", "exec"]'),
    "approval.wait_s": ("60", "30", 30.0, "61"),
    "sandbox.tier": ('"none"', '"bubblewrap"', "bubblewrap", ""),
    "sandbox.env": ('["A", "B"]', '["A"]', ("A",), '["C"]'),
    "sandbox.deadline_s": ("60", "30", 30.0, "61"),
    "sandbox.memory_mb": ("512", "256", 256, "513"),
    "sandbox.processes": ("64", "64", 64, "65"),
    "sandbox.descriptors": ("64", "32", 32, "65"),
    "sandbox.output_mb": ("2", "1", 1, "3"),
    "sandbox.workspace_mb": ("64", "32", 32, "65"),
    "sandbox.workspace_files": ("64", "32", 32, "65"),
    "paths.denied": ('["/a"]', '["/b", "/a"]', ("/a", "/b"), ""),
    "commands.denied": ('["curl"]', '["ssh"]', ("curl", "ssh"), ""),
    "network.private_hosts": ('["a.lan", "b.lan"]', "[]", (), '["c.lan"]'),
    "run.turns_max": ("50", "10", 10, "51"),
    "run.deadline_s": ("60", "30", 30.0, "61"),
    "run.grant": ('"standard"', '"worker"', "worker", '"operator"'),
    "run.network": ('["nas.lan:443", "*:80"]', '["nas.lan:443"]', ("nas.lan:443",), '["*:*"]'),
    "run.tokens_max": ("1000", "10", 10, '"none"'),
    "run.calls_max": ("1000", "10", 10, "1001"),
    "run.usd_max": ("1.5", "0", 0.0, "1.6"),
    "run.seconds_max": ("60", "30", 30.0, '"none"'),
    "cycle.generations_max": ("2", "1", 1, "3"),
    "cycle.clarify_rounds_max": ("2", "0", 0, "3"),
    "cycle.score_min": ("0.5", "0.8", 0.8, ""),
    "cycle.session_tokens_max": ("1000", "10", 10, "1001"),
    "cycle.session_usd_max": ("1.5", "0", 0.0, '"none"'),
    "log.level": ('"error"', '"debug"', "debug", ""),
    "log.json": ("false", "true", True, ""),
    "persona.default": ('"dev"', '"review"', "review", ""),
    "server.allowed_hosts": ('["a.org", "b.org"]', '["b.org"]', ("b.org",), '["c.org"]'),
}


def _load(tmp_path: Path, user: str, project: str):
    home, repo = tmp_path / "home", tmp_path / "repo"
    home.mkdir(exist_ok=True)
    repo.mkdir(exist_ok=True)
    (home / "config.toml").write_text(user)
    (home / "config.toml").chmod(0o600)
    (repo / ".oxios.toml").write_text(project)
    return resolve(cwd=repo, env={"HOME": "/h"}, home=home, system_file=tmp_path / "none")


def test_every_field_declares_its_policy() -> None:
    """The walk over the tree reaches each field once, and the table above says what each is meant to be."""
    assert {spec.key: type(spec.policy) for spec in SPECS} == POLICIES


def test_a_field_without_a_declaration_stops_the_program() -> None:
    """A setting cannot be added without saying its kind and policy."""

    @dataclass(frozen=True)
    class Bare:
        colour: str = "red"

    with pytest.raises(KernelBug, match="colour"):
        list(walk(Bare))


def test_every_field_of_a_project_file_is_covered_by_a_case() -> None:
    """Each key is in the table of tightenings or is the operator's alone; approval.policies has its own test."""
    operators = {key for key, policy in POLICIES.items() if policy is Operator}
    assert TIGHTENING.keys() | operators | {"approval.policies.*"} == POLICIES.keys()


@pytest.mark.parametrize("key", TIGHTENING)
def test_a_project_file_tightens(tmp_path: Path, key: str) -> None:
    """What is stricter, or equal, comes into force; a list of denials grows, a list of allowances shrinks."""
    user, project, want, _ = TIGHTENING[key]
    found = _load(tmp_path, f"{key} = {user}\n", f"{key} = {project}\n")
    value: object = found.settings
    for part in key.split("."):
        value = getattr(value, part)
    assert value == want
    assert found.origins[key].layer == "project"


@pytest.mark.parametrize("key", [key for key, case in TIGHTENING.items() if case[3]])
def test_a_project_file_that_loosens_is_refused_with_file_and_line(tmp_path: Path, key: str) -> None:
    """The error names the project's file, the line, the key and what would be allowed."""
    user, _, _, loosening = TIGHTENING[key]
    with pytest.raises(SettingsInvalid) as caught:
        _load(tmp_path, f"{key} = {user}\n", f"# a comment\n{key} = {loosening}\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'repo' / '.oxios.toml'}:2: {key}: a project file may only ")
    assert "; allowed: " in problem


def test_a_project_file_never_takes_the_sandbox_away(tmp_path: Path) -> None:
    """The tier "none" on top of bubblewrap is a loosening."""
    with pytest.raises(SettingsInvalid, match="may only tighten"):
        _load(tmp_path, "", 'sandbox.tier = "none"\n')


@pytest.mark.parametrize("spec", [spec for spec in SPECS if isinstance(spec.policy, Operator)], ids=lambda s: s.key)
def test_a_project_file_sets_nothing_that_is_the_operators(tmp_path: Path, spec: Spec) -> None:
    """Not even to the value it has: where prompts and records go is not a checkout's to say."""
    names = {"models": '"embedded/planner"', "routing": "review"}
    key = spec.key.replace("*", names.get(spec.key.partition(".")[0], "embedded"))
    takes_model = key == "model.default" or spec.key.endswith(".*")
    default = "none" if spec.default is None else spec.default
    text = json.dumps("embedded/planner" if takes_model else default)
    with pytest.raises(SettingsInvalid, match="a project file may not set this"):
        _load(tmp_path, "", f"{key} = {text}\n")


@pytest.mark.parametrize(
    ("user", "project", "good"),
    [
        ("", "always", True),
        ("", "on_demand", False),
        ("", "auto", False),
        ("auto", "on_demand", True),
        ("on_demand", "auto", False),
        ("always", "on_demand", False),
        ("on_demand", "on_demand", True),
    ],
)
def test_a_tools_policy_only_gets_stricter(tmp_path: Path, user: str, project: str, good: bool) -> None:
    """Without an operator's word the tool's own default is unknown, so only `always` is surely no loosening."""
    base = f'approval.policies.exec = "{user}"\n' if user else ""
    text = f'approval.policies.exec = "{project}"\n'
    if good:
        assert _load(tmp_path, base, text).settings.approval.policies["exec"] == project
    else:
        with pytest.raises(SettingsInvalid, match="may only tighten"):
            _load(tmp_path, base, text)


def test_the_operator_may_loosen_what_a_project_tightened(tmp_path: Path) -> None:
    """A flag stands above the project's file."""
    (tmp_path / ".oxios.toml").write_text("run.turns_max = 3\n")
    found = resolve(cwd=tmp_path, env={"HOME": "/h"}, home=tmp_path / "h", overrides={"run.turns_max": "9"})
    assert found.settings.run.turns_max == 9


BOUNDS = st.none() | st.integers(0, 50)


@given(BOUNDS, BOUNDS)
def test_a_lowered_bound_is_never_above_the_one_below(base: int | None, new: int | None) -> None:
    """For every pair: merged, and at most the base; or refused, and really above it."""
    top = float("inf") if base is None else base
    want = float("inf") if new is None else new
    try:
        merged = Lower().merge(base, new)
    except Loosens:
        assert want > top
    else:
        assert merged == new
        assert want <= top


ITEMS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True).map(tuple)


@given(ITEMS, ITEMS)
def test_lists_of_allowances_shrink_and_lists_of_denials_grow(base: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Subset never has an item the base had not; union loses none of the base."""
    assert set(Union().merge(base, new)) == set(base) | set(new)  # pyright: ignore[reportArgumentType] -- a tuple here
    try:
        merged = Subset().merge(base, new)
    except Loosens:
        assert not set(new) <= set(base)
    else:
        assert merged == new
        assert set(new) <= set(base)


@given(st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b", "c"]))
def test_words_only_move_towards_the_strictest(base: str, new: str) -> None:
    """With an order a < b < c, a merge succeeds exactly where the word does not go back."""
    policy = Stricter(("a", "b", "c"))
    if new < base:
        with pytest.raises(Loosens):
            policy.merge(base, new)
    else:
        assert policy.merge(base, new) == new


def test_the_orders_of_strictness_hold_every_word() -> None:
    """A word that is allowed but not in its policy's order would crash the merge."""
    for spec in SPECS:
        if isinstance(spec.policy, Stricter):
            assert isinstance(spec.kind, Word)
            assert set(spec.policy.order) == set(spec.kind.choices), spec.key
        if isinstance(spec.policy, Lower):
            assert isinstance(spec.kind, Number)


@pytest.mark.parametrize("text", ["true", "ON", "1", "yes"])
def test_booleans_are_read_from_text(text: str) -> None:
    """The usual words, in any case; their opposites too."""
    assert Flag().read_text(text) is True
    assert Flag().read_text({"true": "false", "ON": "off", "1": "0", "yes": "NO"}[text]) is False


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody changes settings after they were checked."""
    settings = _load(tmp_path, "", "").settings
    assert isinstance(settings, Settings)
    with pytest.raises(AttributeError):
        settings.run.turns_max = 5  # pyright: ignore[reportAttributeAccessIssue] -- that is the point
