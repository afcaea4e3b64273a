"""Personas: how an agent speaks and works. Data only; a persona never confers authority.

Guarantees: a persona that exists is whole; ids are unique over those that come with Oxios and those
in `HOME/personas/*.md`, and a second file of one id is an error that names both, unless it says by
`replaces: true` that it is meant to stand in place of one that comes along.
What this does not do: map a role to a grant. That is the explicit table of
`kernel.capability.grants`, capped by what the owner holds; a role unknown there means nothing.

Source: RFC-0009.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Protocol, cast

from kernel.errors import Conflict, Invalid, LimitExceeded, NotFound
from kernel.frontmatter import split_matter
from kernel.jsontypes import JsonObject
from kernel.limits import PERSONA_BYTES_MAX, PERSONAS_MAX

PACKAGE: Final = "personas"
ACTIVE_KEY: Final = "persona.active"
ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELDS: Final = ("id", "name", "role", "description", "enabled", "model", "personality_traits", "replaces")


class Source(Protocol):
    """A file, wherever it stands: in a directory or in an installed wheel."""

    @property
    def name(self) -> str: ...

    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Persona:
    """`role` is a word the grants may know; `model` is `provider/model` or empty for the default."""

    id: str
    name: str
    role: str
    description: str
    system_prompt: str
    enabled: bool = True
    model: str = ""
    personality_traits: tuple[str, ...] = ()
    replaces: bool = False
    """It stands in place of the one with this id that comes along, and says so."""
    source: str = ""
    """The file it was read from, for a person."""

    def json(self) -> JsonObject:
        return cast("JsonObject", asdict(self) | {"personality_traits": list(self.personality_traits)})


def load_personas(home: Path | None = None) -> Mapping[str, Persona]:
    """Those of the package, then those of `home/personas`, by id.

    Raises: Invalid (a file is wrong), Conflict (two files have one id), LimitExceeded.
    """
    found: dict[str, Persona] = {}
    for persona in _read_all(home):
        twin = found.get(persona.id)
        if twin is not None and not (persona.replaces and is_built_in(twin)):
            raise Conflict(
                f"the persona id {persona.id!r} stands in {twin.source} and in {persona.source}",
                remedy="give yours another id, or write `replaces: true`: none replaces another silently",
            )
        found[persona.id] = persona
        if len(found) > PERSONAS_MAX:
            raise LimitExceeded(f"there are more than {PERSONAS_MAX} personas", remedy="remove some")
    return found


def is_built_in(persona: Persona) -> bool:
    """Whether it was read from those that come along."""
    return persona.source.startswith(f"{PACKAGE}/")


def find(personas: Mapping[str, Persona], name: str) -> Persona:
    """The persona of that id, enabled or not. Raises: NotFound, naming the nearest or all."""
    persona = personas.get(name)
    if persona is None:
        near = difflib.get_close_matches(name, personas, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(personas))}"
        raise NotFound(f"there is no persona {name!r}", remedy=hint)
    return persona


def pick(personas: Mapping[str, Persona], name: str) -> Persona:
    """The persona of that id, for use. Raises: NotFound; Conflict, where it is disabled."""
    persona = find(personas, name)
    if not persona.enabled:
        raise Conflict(f"the persona {name} is disabled", remedy=f"set `enabled: true` in {persona.source}")
    return persona


def parse_persona(text: str, source: str) -> Persona:
    """Raises: Invalid, naming `source` and the field."""
    matter = split_matter(text.replace("\r\n", "\n"), source)
    unknown = sorted(set(matter.fields) - set(_FIELDS))
    if unknown:
        near = difflib.get_close_matches(unknown[0], _FIELDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_FIELDS)}"
        raise Invalid(f"{source}: unknown name {unknown[0]!r}", remedy=hint)
    fields = matter.fields
    prompt = matter.body.strip()
    if not prompt:
        raise Invalid(f"{source}: the system prompt is empty", remedy="write it below the front matter")
    return Persona(
        id=_id(fields, source),
        name=_text(fields, "name", source, required=True),
        role=_text(fields, "role", source, required=True).lower(),
        description=_text(fields, "description", source, required=True),
        system_prompt=prompt,
        enabled=_flag(fields, "enabled", source, default=True),
        model=_text(fields, "model", source),
        personality_traits=_texts(fields, "personality_traits", source),
        replaces=_flag(fields, "replaces", source, default=False),
        source=source,
    )


def _read_all(home: Path | None) -> Iterator[Persona]:
    package = files(PACKAGE)
    yield from _read(package.iterdir(), PACKAGE)
    folder = home / PACKAGE if home is not None else None
    if folder is not None and folder.is_dir():
        yield from _read(folder.iterdir(), str(folder))


def _read(sources: Iterable[Source], place: str) -> Iterator[Persona]:
    for source in sorted(sources, key=lambda item: item.name):
        if not source.name.endswith(".md"):
            continue
        label = f"{place}/{source.name}"
        try:
            data = source.read_bytes()
            text = data.decode()
        except OSError as error:
            raise Invalid(f"{label} cannot be read: {error.strerror}", remedy="make it readable") from error
        except UnicodeDecodeError as error:
            raise Invalid(f"{label} is not UTF-8", remedy="save it as UTF-8") from error
        if len(data) > PERSONA_BYTES_MAX:
            raise Invalid(f"{label} has {len(data)} bytes", remedy=f"a persona has at most {PERSONA_BYTES_MAX}")
        yield parse_persona(text, label)


def _id(fields: Mapping[str, object], source: str) -> str:
    text = _text(fields, "id", source, required=True)
    if not ID.fullmatch(text):
        raise Invalid(f"{source}: {text!r} is no id", remedy="use a-z, 0-9, - and _, at most 64 characters")
    return text


def _text(fields: Mapping[str, object], key: str, source: str, *, required: bool = False) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise Invalid(f"{source}: {key} must be a text, not {value!r}", remedy="put it in quotes")
    if required and not value.strip():
        raise Invalid(f"{source}: {key} is missing", remedy=f"write `{key}: …` in the front matter")
    return value.strip()


def _flag(fields: Mapping[str, object], key: str, source: str, *, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise Invalid(f"{source}: {key} must be true or false, not {value!r}", remedy="write true or false")
    return value


def _texts(fields: Mapping[str, object], key: str, source: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, str) for item in items):
        raise Invalid(f"{source}: {key} must be a list of texts, not {value!r}", remedy=f"write `{key}: [a, b]`")
    return tuple(cast("list[str]", items))
