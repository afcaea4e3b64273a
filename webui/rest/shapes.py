"""What crosses the API: the base of every model, and the words that many of them share.

Guarantees: a field that a model does not know is refused, in both directions; every text and every number of
a request is bounded; times are microseconds since the epoch, money is micro-dollars.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kernel.jsontypes import JsonValue

LIMIT_MAX = 200
SEQ_MAX = 2**53

Id = Annotated[str, Field(min_length=1, max_length=80, examples=["r01k3v8n5w-4tq9x2m"])]
Name = Annotated[str, Field(max_length=200)]
Words = Annotated[str, Field(min_length=1, max_length=64_000)]
Line = Annotated[str, Field(max_length=4_096)]
Micros = Annotated[int, Field(description="Microseconds since the epoch; 0: not yet.")]
Usd = Annotated[int, Field(description="Micro-dollars: millionths of a US dollar.")]
Seq = Annotated[int, Field(ge=0, le=SEQ_MAX, description="A number of a journal entry.")]
Json: TypeAlias = Any
"""Any JSON value, where the shape is another's: a payload, a schema, arguments of a tool."""


class Shape(BaseModel):
    """Of an answer."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Asked(Shape):
    """Of a request: texts are texts and numbers are numbers, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Nothing(Asked):
    """A query without parameters."""


class Paging(Asked):
    """Where a list goes on."""

    cursor: Annotated[str, Field(max_length=400, description="`next` of the page before; empty: the first.")] = ""
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="Rows of a page at most.")] = 50


Row = TypeVar("Row")


class Page(Shape, Generic[Row]):
    """Some of a list. `next` is the cursor of the page after it; empty at the end."""

    items: list[Row]
    next: str = ""


class Message(Shape):
    """What came of it, in words."""

    message: str


def plain(value: JsonValue) -> Json:
    """A value of the kernel's, typed as the models take it."""
    return value
