"""`oxios config`: read, change and check the settings."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from oxios.exits import Exit
from oxios.frame import here, home_flag, place, resolved_for, say

if TYPE_CHECKING:
    from kernel.jsontypes import JsonValue
    from kernel.settings.load import Resolved

NAME = "config"
HELP = "read, change and check the settings"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    get = actions.add_parser("get", help="show settings in force")
    get.add_argument("key", nargs="?", default="", help="a setting or a table, e.g. approval.mode; default: all")
    get.add_argument("--origin", action="store_true", help="show where each value comes from")
    get.add_argument("--json", action="store_true", help="as one JSON object")
    get.set_defaults(action=_get)
    put = actions.add_parser("set", help="write a setting into the home's config.toml, after checking it")
    put.add_argument("key", help="e.g. approval.mode")
    put.add_argument("value", help="a list as words with commas, or as a JSON array")
    put.set_defaults(action=_set)
    unset = actions.add_parser("unset", help="remove a setting or a table from the home's config.toml")
    unset.add_argument("key", help="e.g. approval.mode, or providers.local")
    unset.set_defaults(action=_unset)
    validate = actions.add_parser("validate", help="check all layers, or one file as a user's")
    validate.add_argument("file", nargs="?", help="a TOML file; one named .oxios.toml is checked as a project's")
    validate.add_argument("--json", action="store_true", help="as one JSON object")
    validate.set_defaults(action=_validate)
    path = actions.add_parser("path", help="show which file `set` edits")
    path.add_argument("--all", action="store_true", help="every file that may be read, the weakest first")
    path.set_defaults(action=_path)
    schema = actions.add_parser("schema", help="list every setting, what it may hold and what it means")
    schema.add_argument("--json", action="store_true", help="as JSON Schema of a config.toml")
    schema.set_defaults(action=_schema)


def run(args: argparse.Namespace) -> int:
    return int(args.action(args))


def _get(args: argparse.Namespace) -> int:
    from kernel.errors import NotFound  # noqa: PLC0415 -- as above
    from kernel.settings.load import is_table, path_of, spec_of, unknown  # noqa: PLC0415 -- as above
    from kernel.settings.record import record  # noqa: PLC0415 -- as above

    resolved = resolved_for(args)
    values: dict[str, JsonValue] = {"home": str(resolved.settings.home), **record(resolved.settings)}
    key: str = args.key
    chosen = {name: value for name, value in values.items() if not key or name == key or name.startswith(f"{key}.")}
    path = path_of(key)
    if key and not chosen and not is_table(path):
        why = "it is not set" if spec_of(path) else unknown(path)
        raise NotFound(f"{key}: {why}", remedy="see `oxios config schema` for every key")
    origins = {name: _origin(resolved, name) for name in chosen} if args.origin else None
    if args.json:
        shown = (
            {name: {"value": value, "origin": origins[name]} for name, value in chosen.items()} if origins else chosen
        )
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    elif key in chosen and not args.origin:
        print(_bare(chosen[key]))
    else:
        _print_lines(chosen, origins)
    return Exit.OK


def _print_lines(values: Mapping[str, JsonValue], origins: Mapping[str, str] | None) -> None:
    for name, value in values.items():
        line = f"{name} = {_toml(value)}"
        print(f"{line:<60}  # {origins[name]}" if origins else line)


def _origin(resolved: Resolved, key: str) -> str:
    if key == "home":
        return "--home, OXIOS_HOME or the default"
    found = resolved.origins.get(key)
    return f"{found.layer}: {found}" if found else "default"


def _bare(value: JsonValue) -> str:
    """As a script wants it: texts without quotes, lists as JSON."""
    return value if isinstance(value, str) else _toml(value)


def _toml(value: JsonValue) -> str:
    return '"none"' if value is None else json.dumps(value, ensure_ascii=False)


def _set(args: argparse.Namespace) -> int:
    from kernel.settings.edit import set_value  # noqa: PLC0415 -- as above
    from kernel.settings.load import CONFIG_NAME  # noqa: PLC0415 -- as above

    home = _home(args)
    before, after = set_value(home, args.key, args.value, os.environ)
    was = f" (was {_toml(_listed(before))})" if before is not None else ""
    say(f"{args.key} = {_toml(_listed(after))}{was} in {home / CONFIG_NAME}", args)
    return Exit.OK


def _unset(args: argparse.Namespace) -> int:
    from kernel.settings.edit import unset_value  # noqa: PLC0415 -- as above
    from kernel.settings.load import CONFIG_NAME  # noqa: PLC0415 -- as above

    home = _home(args)
    unset_value(home, args.key, os.environ)
    say(f"{args.key} removed from {home / CONFIG_NAME}", args)
    return Exit.OK


def _validate(args: argparse.Namespace) -> int:
    from kernel.settings.source import SettingsInvalid  # noqa: PLC0415 -- as above

    problems: tuple[str, ...] = ()
    try:
        if args.file is None:
            resolved_for(args)
        else:
            _check_file(place(args.file))
    except SettingsInvalid as error:
        problems = error.problems
    if args.json:
        print(json.dumps({"ok": not problems, "problems": list(problems)}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(problems) or "ok")
    return Exit.FAILED if problems else Exit.OK


def _check_file(file: Path) -> None:
    """Alone on the defaults, as the layer its name says. Raises: SettingsInvalid, NotFound."""
    from kernel.errors import NotFound  # noqa: PLC0415 -- as above
    from kernel.settings.load import PROJECT_NAME, check_file  # noqa: PLC0415 -- as above

    if not file.is_file():
        raise NotFound(f"there is no file {file}", remedy="name a TOML file, or none to check what is in force")
    check_file(file, "project" if file.name == PROJECT_NAME else "user")


def _path(args: argparse.Namespace) -> int:
    from kernel.settings.load import CONFIG_NAME, PROJECT_NAME, SYSTEM_FILE, find_project_file  # noqa: PLC0415 -- as above

    user = _home(args) / CONFIG_NAME
    if not args.all:
        print(user)
        return Exit.OK
    project = find_project_file(here()) or here() / PROJECT_NAME
    for layer, file in (("system", SYSTEM_FILE), ("user", user), ("project", project)):
        print(f"{layer:<8} {file}{'' if file.is_file() else '  (not there)'}")
    return Exit.OK


def _schema(args: argparse.Namespace) -> int:
    from kernel.settings.schema import json_schema, rows  # noqa: PLC0415 -- as above

    if args.json:
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return Exit.OK
    for row in rows():
        print(f"{row.key} = {_toml(row.default)}\n    {row.doc}\n    Allowed: {row.allowed}; {row.project}.")
    return Exit.OK


def _home(args: argparse.Namespace) -> Path:
    from kernel.settings.load import home_of  # noqa: PLC0415 -- as above

    return (home_flag(args) or home_of(os.environ)).expanduser().absolute()


def _listed(value: object) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportReturnType,reportUnknownArgumentType,reportUnknownVariableType] -- a setting's value is JSON
