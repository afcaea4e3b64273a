"""A persona as the file that holds it, and what is wrong with one that a person writes.

Guarantees: `parse_persona(text_of(p))` gives p again, its source apart; `faults` names every field that
would not be accepted, in words for whoever filled it in, so that nothing is written that cannot be read.

Source: RFC-0009.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from typing import Any, Final

from kernel.errors import Invalid
from kernel.limits import PERSONA_BYTES_MAX
from kernel.persona import ID, Persona, parse_persona
from kernel.settings.tree import MODEL_NAME

NAME_CHARS_MAX: Final = 80
DESCRIPTION_CHARS_MAX: Final = 500
TRAITS_MAX: Final = 20
TRAIT_CHARS_MAX: Final = 60
RESERVED: Final = ("none", "new")


def text_of(persona: Persona) -> str:
    """Front matter and system prompt. Raises: Invalid, where it would not read back as it is."""
    fields: dict[str, object] = {
        "id": persona.id,
        "name": persona.name,
        "role": persona.role,
        "description": persona.description,
    }
    if persona.replaces:
        fields["replaces"] = True
    if not persona.enabled:
        fields["enabled"] = False
    if persona.model:
        fields["model"] = persona.model
    if persona.personality_traits:
        fields["personality_traits"] = list(persona.personality_traits)
    yaml: Any = import_module("yaml")  # Untyped, and 30 ms that readers need not pay.
    matter = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=110)
    text = f"---\n{matter}---\n{persona.system_prompt}\n"
    if replace(parse_persona(text, persona.source), source="") != replace(persona, source=""):
        raise Invalid(f"the persona {persona.id} would not be read back as it is", remedy="use plain text")
    return text


def digest_of(persona: Persona) -> str:
    """Tells one version of a persona from another, wherever it is kept."""
    fields = json.dumps({**persona.json(), "replaces": False, "source": ""}, sort_keys=True)
    return sha256(fields.encode()).hexdigest()


def faults(persona: Persona) -> Mapping[str, str]:
    """Field to what is wrong with it; none where it may be written."""
    found = {
        "id": _id(persona.id),
        "name": _line(persona.name, NAME_CHARS_MAX),
        "role": _line(persona.role, NAME_CHARS_MAX),
        "description": _line(persona.description, DESCRIPTION_CHARS_MAX),
        "system_prompt": _prompt(persona.system_prompt),
        "model": ""
        if not persona.model or re.fullmatch(MODEL_NAME, persona.model)
        else "write PROVIDER/MODEL, or leave it empty for the default",
        "personality_traits": _traits(persona.personality_traits),
    }
    return {name: said for name, said in found.items() if said}


def _id(text: str) -> str:
    if text in RESERVED:
        return "this word means something else where personas are named"
    return "" if ID.fullmatch(text) else "use a-z, 0-9, - and _, at most 64 characters"


def _line(text: str, chars_max: int) -> str:
    if not text.strip():
        return "this is needed"
    if not text.isprintable():
        return "use one line of printable text"
    return "" if len(text) <= chars_max else f"use at most {chars_max} characters"


def _prompt(text: str) -> str:
    if not text.strip():
        return "this is needed"
    if any(not char.isprintable() and char not in "\n\t" for char in text):
        return "use printable text: it has control characters"
    half = PERSONA_BYTES_MAX // 2
    return "" if len(text.encode()) <= half else f"use at most {half} bytes"


def _traits(traits: tuple[str, ...]) -> str:
    if len(traits) > TRAITS_MAX:
        return f"use at most {TRAITS_MAX}"
    said = (_line(one, TRAIT_CHARS_MAX) for one in traits)
    return next((one for one in said if one), "")
