"""Loading: defaults < system < user < project < environment < flags, checked as they are laid.

Guarantees: `resolve` returns a tree in which every value is inside its bounds, or raises
`SettingsInvalid` with a line for each problem: file, line, key, what was wrong, what is allowed.
A project file can only tighten (`kernel.settings.policy`).

Does not guarantee that settings stay as they are while the program runs: they are read once.

Source: RFC-0010.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from kernel.settings.check import cross_problems
from kernel.settings.kinds import Value, Wrong
from kernel.settings.policy import Loosens
from kernel.settings.source import (
    Assignment,
    KeyPath,
    Origin,
    SettingsInvalid,
    from_environment,
    from_file,
    from_flags,
)
from kernel.settings.spec import STAR, Spec, build, walk
from kernel.settings.tree import ADDRESSES, EMBEDDED, ProviderSettings, Settings

SYSTEM_FILE: Final = Path("/etc/oxios/config.toml")
PROJECT_NAME: Final = ".oxios.toml"
CONFIG_NAME: Final = "config.toml"
REMEDY: Final = "see `oxios config schema` for every key and what it may hold"

SPECS: Final[tuple[Spec, ...]] = tuple(walk(Settings))


@dataclass(frozen=True, slots=True)
class Resolved:
    """The tree, and for each key that some layer set, where its value comes from."""

    settings: Settings
    values: Mapping[str, Value]
    origins: Mapping[str, Origin]
    project_file: Path | None


@dataclass(slots=True)
class _Stack:
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    origins: dict[str, Origin] = field(default_factory=dict[str, Origin])
    problems: list[str] = field(default_factory=list[str])


def load_settings(
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    home: Path | None = None,
    system_file: Path = SYSTEM_FILE,
) -> Settings:
    """The settings in force. `home` is the `--home` flag; without it `OXIOS_HOME`, else `~/.oxios`.

    Raises: SettingsInvalid.
    """
    return resolve(cwd=cwd, env=env, overrides=overrides, home=home, system_file=system_file).settings


def resolve(
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    home: Path | None = None,
    system_file: Path = SYSTEM_FILE,
    project: bool = True,
    user_assignments: Iterable[Assignment] | None = None,
) -> Resolved:
    """As `load_settings`, with origins. `user_assignments` stand in for the home's file; without
    `project` no project file is looked for.

    Raises: SettingsInvalid.
    """
    env = os.environ if env is None else env
    real_home = (home or home_of(env)).expanduser().absolute()
    if real_home.exists() and not real_home.is_dir():
        raise SettingsInvalid((f"the home {real_home} is no directory",), remedy="set OXIOS_HOME, or give --home DIR")
    project_file = find_project_file(cwd or Path.cwd()) if project else None
    user = from_file(real_home / CONFIG_NAME, "user") if user_assignments is None else user_assignments
    stack = _Stack()
    _lay(stack, ())
    _lay(stack, from_file(system_file, "system"))
    _lay(stack, user)
    if project_file is not None:
        _lay(stack, from_file(project_file, "project"))
    _lay(stack, from_environment(env))
    _lay(stack, from_flags(overrides or {}))
    settings = _expand(build(Settings, stack.values, home=real_home), env)
    problems = stack.problems or list(cross_problems(settings, stack.origins))
    if problems:
        raise SettingsInvalid(tuple(problems), remedy=REMEDY)
    return Resolved(settings, stack.values, stack.origins, project_file)


def check_file(file: Path, layer: Literal["user", "project"]) -> None:
    """One file on top of the defaults alone, as the layer given. Raises: SettingsInvalid."""
    stack = _Stack()
    _lay(stack, ())
    _lay(stack, from_file(file, layer))
    settings = build(Settings, stack.values, home=Path("/"))
    problems = stack.problems or list(cross_problems(settings, stack.origins))
    if problems:
        raise SettingsInvalid(tuple(problems), remedy=REMEDY)


def home_of(env: Mapping[str, str]) -> Path:
    """`OXIOS_HOME`, else `.oxios` in the user's home."""
    if env.get("OXIOS_HOME"):
        return Path(env["OXIOS_HOME"])
    return Path(env["HOME"]) / ".oxios" if env.get("HOME") else Path.home() / ".oxios"


def find_project_file(cwd: Path) -> Path | None:
    """`.oxios.toml` in `cwd` or the nearest parent that has one, up to the repository's root.

    Outside a repository only `cwd` counts: a file further up was not put there for this work.
    """
    here = cwd.absolute()
    places = [here, *here.parents]
    root = next((place for place in places if (place / ".git").exists()), here)
    for place in places[: places.index(root) + 1]:
        if (place / PROJECT_NAME).is_file():
            return place / PROJECT_NAME
    return None


def spec_of(path: KeyPath) -> Spec | None:
    return next((spec for spec in SPECS if spec.matches(path)), None)


def path_of(key: str) -> KeyPath:
    """A dotted key's path; a name that the operator chose may have dots itself."""
    return _with_dots(tuple(key.split(".")))


def _with_dots(path: KeyPath) -> KeyPath:
    for spec in SPECS:
        depth = spec.key.count(".")
        if spec.key.endswith(f".{STAR}") and len(path) > depth + 1 and ".".join(path[:depth]) == spec.key[:-2]:
            return (*path[:depth], ".".join(path[depth:]))
        head, star, last = spec.key.partition(f".{STAR}.")
        first = head.count(".") + 1
        if star and len(path) > depth + 1 and ".".join(path[:first]) == head and path[-1] == last:
            return (*path[:first], ".".join(path[first:-1]), path[-1])
    return path


def is_table(path: KeyPath) -> bool:
    """Whether `path` is a table that holds settings."""
    return any(
        len(parts) > len(path) and all(part in (STAR, name) for part, name in zip(parts, path, strict=False))
        for parts in (spec.key.split(".") for spec in SPECS)
    )


def unknown(path: KeyPath) -> str:
    """What to say of a key that does not exist: the nearest one, or that keys are never stored."""
    last = path[-1].lower()
    if path[0] == "home":
        return "the home is not a setting; set OXIOS_HOME or give --home DIR"
    if any(hint in last for hint in ("api_key", "apikey", "secret", "password", "token")) and not last.endswith("_max"):
        return "secrets are never stored in settings; put it in an environment variable and name that in key_env"
    near = get_close_matches(".".join(path), [_as_written(spec, path) for spec in SPECS], n=1, cutoff=0.6)
    return f"there is no such setting; did you mean {near[0]}?" if near else "there is no such setting"


def _as_written(spec: Spec, path: KeyPath) -> str:
    parts = spec.key.split(".")
    return ".".join(path[at] if part == STAR and at < len(path) else part for at, part in enumerate(parts))


def _lay(stack: _Stack, assignments: Iterable[Assignment]) -> None:
    """Put one layer on top. The first call lays the defaults."""
    if not stack.values:
        stack.values = {spec.key: spec.default for spec in SPECS if STAR not in spec.key}
        stack.values[f"providers.{EMBEDDED}.kind"] = EMBEDDED
    bad: list[KeyPath] = []
    for one in assignments:
        if any(one.path[: len(path)] == path for path in bad):
            continue
        problem = _lay_one(stack, one)
        if problem:
            bad.append(one.path)
            stack.problems.append(f"{one.origin}: {'.'.join(one.path)}: {problem}")


def _lay_one(stack: _Stack, one: Assignment) -> str:
    """Set one value; what was wrong, or nothing."""
    path = _with_dots(one.path) if one.text else one.path
    spec, key = spec_of(path), ".".join(path)
    if spec is None:
        if not is_table(path):
            return unknown(path)
        return "" if isinstance(one.raw, dict) else f"this is a table; write [{key}]"
    try:
        value = spec.kind.read_text(str(one.raw)) if one.text else spec.kind.read(one.raw)
        if one.origin.layer == "project":
            value = spec.policy.merge(stack.values.get(key, spec.default), value)
    except Wrong as wrong:
        return f"{wrong.what}; allowed: {spec.kind.allowed}"
    except Loosens as loosens:
        return f"{loosens.what}; allowed: {loosens.allowed}"
    stack.values[key] = value
    stack.origins[key] = one.origin
    return ""


def _expand(settings: Settings, env: Mapping[str, str]) -> Settings:
    home = env.get("HOME") or str(Path.home())
    denied = tuple(home + path[1:] if path.startswith("~/") else path for path in settings.paths.denied)
    providers = {name: addressed(one) for name, one in settings.providers.items()}
    return replace(settings, paths=replace(settings.paths, denied=denied), providers=providers)


def addressed(one: ProviderSettings) -> ProviderSettings:
    """With the address of its kind's maker where it was given none."""
    return one if one.base_url else replace(one, base_url=ADDRESSES.get(one.kind, ""))
