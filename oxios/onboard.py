"""Choosing a provider: from flags, from a terminal, or from what is there; tried, then written.

Guarantees: nothing is written before the settings were checked and (but for --no-check) the model answered, with one
of the keys that a run would find; no key is asked for, shown or stored; a provider of another address is not
overwritten unless it was named; the same again leaves the file as it is. Every refusal says what to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import anyio

from kernel.boot import local_servers
from kernel.engine.sources import numbered
from kernel.errors import Conflict, Invalid, NotFound, OxiosError
from kernel.ports.provider import Found
from kernel.settings import Settings, load_settings
from kernel.settings.edit import set_value
from kernel.settings.load import CONFIG_NAME, home_of
from kernel.settings.record import record
from kernel.settings.tree import ADDRESSES, KEY_VARIABLES
from oxios.exits import Exit
from oxios.frame import home_flag, overrides_of, say
from oxios.local_models import shown
from oxios.trial import check, offered

_SHOWN: Final = 20
_NAMES: Final = {"openai": "openai", "anthropic": "claude", "vendor": "vendor"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider to be. `named` is True where a person chose its name."""

    kind: str
    name: str
    base_url: str = ""
    key_env: str = ""
    model: str = ""
    models: tuple[str, ...] = ()
    named: bool = False

    def assignments(self) -> dict[str, str]:
        """What is written, in an order in which each line leaves valid settings."""
        key = f"providers.{self.name}"
        said = {f"{key}.kind": self.kind, f"{key}.base_url": self.base_url, f"{key}.key_env": self.key_env}
        return {**said, "model.default": f"{self.name}/{self.model}"}


def onboard(args: argparse.Namespace) -> int:
    """Raises: OxiosError, where there is nothing to choose, the choice is wrong, or it does not work."""
    home = (home_flag(args) or home_of(os.environ)).expanduser().absolute()
    choice = _choose(args)
    settings = load_settings(home=home, overrides=overrides_of(args))
    _keep_others(settings, choice)
    choice = _with_version(settings, choice)
    choice = _with_model(args, settings, choice)
    tried = load_settings(home=home, overrides={**overrides_of(args), **choice.assignments()})
    if not args.no_check:
        say(f"{choice.name}/{choice.model} answers{anyio.run(check, tried, choice.name, choice.model)}", args)
    written = [key for key, text in choice.assignments().items() if _differs(settings, key, text)]
    for key in written:
        set_value(home, key, choice.assignments()[key], os.environ)
    what = f"wrote {', '.join(written)} to" if written else "nothing to change in"
    say(f"{what} {home / CONFIG_NAME}", args)
    print(f"{choice.name}/{choice.model}")
    say("try: oxios run 'say hello in three languages'", args)
    return Exit.OK


def _choose(args: argparse.Namespace) -> Choice:
    """Flags first, then a person, then what is there."""
    if args.provider or args.base_url:
        kind = args.provider or "openai"
        name = args.name or ("local" if args.base_url else _NAMES[kind])
        return Choice(kind, name, args.base_url, args.key_env, args.model, named=bool(args.name))
    found = anyio.run(local_servers)
    if not args.yes:
        if not sys.stdin.isatty():
            raise Invalid("there is no terminal to ask at", remedy="give --yes, or --provider KIND --model NAME")
        return _named(args, _ask_which(found))
    ready = [one for one in _choices(found) if one.models or _keyed(one.kind)]
    if not ready:
        raise NotFound(
            "no model server answers on this machine, and neither ANTHROPIC_API_KEY nor OPENAI_API_KEY is set",
            remedy="start Ollama or another server, export a key, or give --provider and --base-url; until then the "
            "embedded planner follows explicit instructions without a model",
        )
    return _named(args, ready[0])


def _choices(found: Sequence[Found]) -> list[Choice]:
    """Servers of this machine, then the makers that serve a model themselves."""
    local = [Choice("openai", one.name, one.base_url, models=one.models) for one in found]
    return [*local, *(Choice(kind, _NAMES[kind]) for kind in ("anthropic", "openai"))]


def _keyed(kind: str) -> bool:
    """Whether a variable that its maker names holds a key."""
    return any(os.environ.get(name, "").strip() for name in numbered([KEY_VARIABLES[kind]]))


def _named(args: argparse.Namespace, choice: Choice) -> Choice:
    return replace(
        choice,
        name=args.name or choice.name,
        named=bool(args.name),
        key_env=args.key_env or choice.key_env,
        model=args.model or choice.model,
    )


def _ask_which(found: Sequence[Found]) -> Choice:
    """Raises: Invalid, where nothing that was offered is answered."""
    choices = _choices(found)
    lines = [f"{number}. {_line(choice)}" for number, choice in enumerate(choices, start=1)]
    lines.append(f"{len(choices) + 1}. another OpenAI-compatible server")
    number = _pick("Which models shall agents ask?", lines)
    if number <= len(choices):
        return choices[number - 1]
    url = _answer("Its address, up to the version (https://host/v1)")
    return Choice(
        "openai", "mine", url, _answer("The NAME of the variable that holds its key (empty: none)", empty=True)
    )


def _line(choice: Choice) -> str:
    if choice.base_url:
        return f"{choice.name} on this machine, at {choice.base_url}: {shown(choice.models)}"
    state = "is set" if _keyed(choice.kind) else "is NOT set"
    return f"{choice.kind} at {ADDRESSES[choice.kind]} ({KEY_VARIABLES[choice.kind]} {state})"


def _with_model(args: argparse.Namespace, settings: Settings, choice: Choice) -> Choice:
    """The choice with a model. Raises: Invalid, with those that are offered, where it would be a guess."""
    if choice.model:
        return choice
    models, why = (list(choice.models), "") if choice.models else _offered(settings, choice)
    talking = [one for one in models if "embed" not in one.lower()]
    if args.yes and choice.models and talking:
        return replace(choice, model=talking[0])
    if not args.yes and sys.stdin.isatty() and talking:
        lines = [f"{number}. {one}" for number, one in enumerate(talking[:_SHOWN], start=1)]
        return replace(choice, model=talking[_pick(f"Which model of {choice.name}?", lines) - 1])
    offers = f"it offers {', '.join(talking[:_SHOWN])}" if talking else why or "it lists none; see its documentation"
    raise Invalid(f"no model of {choice.name} was named", remedy=f"give --model; {offers}")


def _offered(settings: Settings, choice: Choice) -> tuple[list[str], str]:
    """What it lists; else why it cannot be asked."""
    said = {key: text for key, text in choice.assignments().items() if key != "model.default"}
    try:
        return list(anyio.run(offered, load_settings(home=settings.home, overrides=said), choice.name)), ""
    except OxiosError as error:
        return [], f"its models cannot be listed: {error.explain()}"


def _with_version(settings: Settings, choice: Choice) -> Choice:
    """With `/v1` after an address that has no path, where that is where its models are listed: most servers have it."""
    if choice.kind != "openai" or not choice.base_url or urlsplit(choice.base_url).path.strip("/"):
        return choice
    versioned = replace(choice, base_url=f"{choice.base_url.rstrip('/')}/v1")
    return versioned if _offered(settings, versioned)[0] else choice


def _keep_others(settings: Settings, choice: Choice) -> None:
    """Raises: Conflict, where the name stands for another provider and nobody chose it."""
    there = settings.providers.get(choice.name)
    if there is None or choice.named:
        return
    if (there.kind, there.base_url) != (choice.kind, choice.base_url or ADDRESSES.get(choice.kind, "")):
        raise Conflict(
            f"providers.{choice.name} is another one already, of kind {there.kind} at {there.base_url or 'no address'}",
            remedy=f"give --name NAME for a new one, or --name {choice.name} to replace it",
        )


def _differs(settings: Settings, key: str, text: str) -> bool:
    """Whether a setting has another value, an address that its kind implies being the same as none."""
    there = record(settings).get(key)
    if key.endswith(".base_url") and not text:
        return there not in (None, "", *ADDRESSES.values())
    return there != text and not (there is None and not text)


def _pick(question: str, lines: Sequence[str]) -> int:
    """A number of `lines`, from 1. Raises: Invalid."""
    for line in lines:
        say(f"  {line}")
    text = _answer(f"{question} [1-{len(lines)}]")
    if not text.isdecimal() or not 1 <= int(text) <= len(lines):
        raise Invalid(f"{text!r} is none of them", remedy=f"answer with a number from 1 to {len(lines)}")
    return int(text)


def _answer(question: str, *, empty: bool = False) -> str:
    """Raises: Invalid, where nothing is said and something is needed."""
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line or not (line.strip() or empty):
        raise Invalid(
            "nothing was answered; nothing was written", remedy="answer, or give the flags: oxios onboard --help"
        )
    return line.strip()
