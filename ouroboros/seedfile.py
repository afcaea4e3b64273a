"""Reading a seed: from a file, from standard input, or from a goal given as plain text.

Guarantees: a seed is accepted whole or refused with the file, the line where it is known, what was
wrong and what would be right; nothing over SEED_BYTES_MAX is parsed.
What this does not do: make its mounts real (`ouroboros.workspace`).

Source: RFC-0009.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydantic import BaseModel, ValidationError

from kernel.errors import Invalid, NotFound
from kernel.limits import SEED_BYTES_MAX
from ouroboros.seed import OntologyEntity, SeedBudget, SeedMount, SeedSpec
from ouroboros.seedforms import FORM_OF_SUFFIX, Form, line_of, read_form, sniff

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEPTH_MAX: Final = 64
INTEGER_MAX: Final = 2**53 - 1
STDIN: Final = "-"
_VALUE_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A seed as it was read: `directory` is what its mounts are relative to, `text` what a file or a pipe held."""

    spec: SeedSpec
    source: str
    directory: Path
    text: str = ""

    @contextmanager
    def blamed(self, name: str, *, unless: str = "") -> Generator[None]:
        """What is wrong in here is told with the line that sets `name`; not where a flag stood in, or no line does."""
        try:
            yield
        except (Invalid, NotFound) as error:
            line = None if unless else line_of(self.text, name)
            if line is None:
                raise
            message = f"{self.source}, line {line}: {name}: {error.message}"
            raise type(error)(message, remedy=error.remedy) from error


def read_seed(argument: str, *, cwd: Path, stdin: bytes = b"") -> SeedFile:
    """`argument` is `-`, the path of a file, or the goal itself.

    Raises: Invalid, NotFound (it looks like a path and there is no such file).
    """
    if argument == STDIN:
        text = _decoded(stdin, "standard input")
        return SeedFile(parse_seed(text, sniff(text), "standard input"), "standard input", cwd, text)
    path = cwd / argument if _may_be_path(argument) else None
    if path is not None and path.is_dir():
        raise Invalid(f"{argument} is a directory", remedy="name the seed's file in it")
    if path is not None and path.is_file():
        text = _decoded(_bounded(path), argument)
        form = FORM_OF_SUFFIX.get(path.suffix.lower()) or sniff(text)
        return SeedFile(parse_seed(text, form, argument), argument, path.resolve().parent, text)
    if _looks_like_path(argument):
        raise NotFound(f"there is no file {argument}", remedy="`oxios seed new -o FILE` writes a template")
    text = _decoded(argument.encode("utf-8", "surrogatepass"), "the goal")
    return SeedFile(parse_seed(text, "text", "the goal"), "command line", cwd)


def parse_seed(text: str, form: Form, label: str) -> SeedSpec:
    """Raises: Invalid."""
    fields = read_form(text, form, label)
    _check_plain(fields, label, ())
    try:
        return SeedSpec.model_validate(fields)
    except ValidationError as error:
        faults = [_fault(detail, text, label) for detail in error.errors(include_url=False)]
        raise Invalid("; ".join(faults), remedy="`oxios seed new` shows every field; nothing was accepted") from error


def _may_be_path(argument: str) -> bool:
    return bool(argument.strip()) and "\n" not in argument and "\0" not in argument and len(argument) < 1024  # noqa: PLR2004 -- a path this long is a goal


def _looks_like_path(argument: str) -> bool:
    one_word = not any(character.isspace() for character in argument.strip())
    return one_word and ("/" in argument or Path(argument).suffix.lower() in FORM_OF_SUFFIX)


def _bounded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SEED_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", remedy="make it readable") from error


def _decoded(data: bytes, label: str) -> str:
    if len(data) > SEED_BYTES_MAX:
        raise Invalid(
            f"{label} is larger than {SEED_BYTES_MAX} bytes",
            remedy="put long material into files of the workspace and name them in the goal",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{label}, line {line}: not UTF-8", remedy="save it as UTF-8") from error
    if not text.strip():
        raise Invalid(f"{label} is empty", remedy="say at least what is to be done")
    return text.replace("\r\n", "\n")


def _check_plain(value: object, label: str, place: tuple[str, ...]) -> None:
    """JSON values only, exactly storable: the journal keeps what was read, byte for byte."""
    where = f"{label}: {'.'.join(place)}" if place else label
    if len(place) > DEPTH_MAX:
        raise Invalid(f"{where[:_VALUE_CHARS_MAX]}… is nested deeper than {DEPTH_MAX}", remedy="flatten it")
    match value:
        case dict():
            for key, item in cast("dict[str, object]", value).items():
                _check_plain(key, label, place)
                _check_plain(item, label, (*place, key))
        case list():
            for number, item in enumerate(cast("list[object]", value)):
                _check_plain(item, label, (*place, str(number)))
        case _:
            _check_scalar(value, where)


def _check_scalar(value: object, where: str) -> None:
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise Invalid(f"{where} holds a character that is no text", remedy="remove NUL and lone surrogates")
        case int():
            if abs(value) > INTEGER_MAX:
                raise Invalid(f"{where}: {str(value)[:30]} is too large", remedy=f"at most {INTEGER_MAX}")
        case float():
            if not math.isfinite(value):
                raise Invalid(f"{where}: {value} is no number", remedy="write a finite number")
        case None:
            pass
        case _:
            raise Invalid(f"{where}: {value} is a date or time", remedy="put it in quotes")


def _fault(detail: ErrorDetails, text: str, label: str) -> str:
    names = [str(part) for part in detail["loc"] if not str(part).startswith(("tuple[", "constrained-"))]
    keys = [name for name in reversed(names) if not name.isdigit()]
    line = next((line for key in keys if (line := line_of(text, key)) is not None), None)
    where = f"{label}, line {line}" if line else label
    dotted = ".".join(names)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {_unknown(names)}"
    if detail["type"] == "missing":
        return f"{where}: {dotted} is missing"
    reason = detail["msg"].removeprefix("Value error, ")
    reason = (reason[:1].lower() + reason[1:]).replace("a valid tuple", "a list")
    given = repr(detail["input"])
    shown = "" if len(given) > _VALUE_CHARS_MAX or detail["type"] == "value_error" else f", not {given}"
    return f"{where}: {dotted}: {reason}{shown}" if dotted else f"{where}: {reason}"


def _unknown(names: list[str]) -> str:
    known = _known_names(names[:-1])
    near = difflib.get_close_matches(names[-1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown name {'.'.join(names)!r}; {hint}"


def _known_names(parents: list[str]) -> list[str]:
    models: dict[str, type[BaseModel]] = {"ontology": OntologyEntity, "mounts": SeedMount, "budget": SeedBudget}
    model = models.get(parents[0], SeedSpec) if parents else SeedSpec
    extra = ["usd"] if model is SeedBudget else ["type"] if model is OntologyEntity else []
    return [*model.model_fields, *extra]
