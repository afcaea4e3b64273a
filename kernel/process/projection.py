"""The `runs` table, from the entries of run streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from kernel.journal.entry import Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.jsontypes import JsonObject
from kernel.runtime.text import cut_chars

GOAL_CHARS_MAX: Final = 500


def _row(entry: Entry, values: Mapping[str, Scalar]) -> tuple[Upsert]:
    return (Upsert("runs", {"id": entry.stream}, {**values, "updated_us": entry.time_us}),)


def _started(entry: Entry) -> Iterable[Upsert]:
    payload = cast("JsonObject", entry.payload)
    env = cast("JsonObject", payload["env"])
    mounts = cast("list[dict[str, str]]", env.get("mounts", []))
    goal = str(cast("JsonObject", payload["directive"])["goal"])
    return _row(
        entry,
        {
            "seed": str(payload.get("seed", "")),
            "owner": str(payload["owner"]),
            "status": "running",
            "goal": cut_chars(goal, GOAL_CHARS_MAX),
            "persona": str(env.get("persona", "")),
            "model": str(payload.get("model", "")),
            "workspace": mounts[0]["path"] if mounts else "",
            "started_us": entry.time_us,
            "finished_us": None,
            "turns": 0,
            "note": "",
            "verdict": None,
        },
    )


def _resumed(entry: Entry) -> Iterable[Upsert]:
    return _row(entry, {"status": "running", "note": "", "finished_us": None})


def _paused(entry: Entry) -> Iterable[Upsert]:
    payload = cast("JsonObject", entry.payload)
    turns = cast("int", payload.get("turns", 0))
    return _row(entry, {"status": "paused", "note": str(payload.get("note", "")), "turns": turns})


def _finished(entry: Entry) -> Iterable[Upsert]:
    payload = cast("JsonObject", entry.payload)
    return _row(
        entry,
        {
            "status": str(payload["status"]),
            "note": str(payload.get("note", "")),
            "turns": cast("int", payload.get("turns", 0)),
            "finished_us": entry.time_us,
        },
    )


def _reviewed(entry: Entry) -> Iterable[Upsert]:
    # The run ended before it was judged: when it last did something stands.
    passed = cast("JsonObject", entry.payload).get("passed")
    word = "undecided" if passed is None else "passed" if passed else "failed"
    return (Upsert("runs", {"id": entry.stream}, {"verdict": word}),)


PROJECTORS: Final[Mapping[str, Projector]] = {
    "run.started": _started,
    "run.resumed": _resumed,
    "run.paused": _paused,
    "run.finished": _finished,
    "review.verdict": _reviewed,
}
