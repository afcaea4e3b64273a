"""A draft as its form gives it back."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from kernel.errors import Invalid
from ouroboros.seed import SeedSpec


def draft_of(spec: SeedSpec, form: Mapping[str, str]) -> SeedSpec:
    """The draft with what the form changed; lists are one item a line. Raises: Invalid, naming the field."""
    said: dict[str, object] = {"goal": form["goal"]} if "goal" in form else {}
    for name in ("constraints", "criteria"):
        if name in form:
            said[name] = [line.strip() for line in form[name].splitlines() if line.strip()]
    return changed(spec, said)


def changed(spec: SeedSpec, said: Mapping[str, object]) -> SeedSpec:
    """The draft with other values of some fields. Raises: Invalid, naming the field."""
    try:
        return SeedSpec.model_validate({**spec.model_dump(mode="json"), **said})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{place}: {first['msg']}", remedy="correct it and accept again") from error
