"""A draft as its form gives it back."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from kernel.errors import Invalid
from ouroboros.seed import SeedSpec


def draft_of(spec: SeedSpec, form: Mapping[str, str]) -> SeedSpec:
    """The draft with what the form changed; lists are one item a line. Raises: Invalid, naming the field."""
    said = spec.model_dump(mode="json")
    if "goal" in form:
        said["goal"] = form["goal"]
    for name in ("constraints", "criteria"):
        if name in form:
            said[name] = [line.strip() for line in form[name].splitlines() if line.strip()]
    try:
        return SeedSpec.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{place}: {first['msg']}", remedy="correct it and accept again") from error
