"""Journal entries as the API has them, and whose they are."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from kernel.journal.entry import Entry
from webui.rest.shapes import Json, Micros, Seq, Shape


class EntryOut(Shape):
    """One record of the journal. `payload` is null where it was erased; `digest` still stands."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "seq": 42,
                    "time_us": 1763668800000000,
                    "principal": "user:ada",
                    "stream": "r01k3v8n5w-4tq9x2m",
                    "kind": "run.steered",
                    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "payload": {"text": "mind the tests", "by": "user:ada"},
                }
            ]
        },
    )

    seq: Seq
    time_us: Micros
    principal: str
    stream: str = Field(description="A run's or session's id, or `kernel`.")
    kind: str
    digest: str
    payload: dict[str, Json] | None


def entry_out(entry: Entry) -> EntryOut:
    return EntryOut.model_validate(entry.json())
