"""Personas written through the kernel: kept in the home, journalled, never over somebody else's edit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.errors import AccessDenied, Conflict, Invalid, NotFound
from kernel.ids import user
from kernel.jsontypes import JsonValue
from kernel.limits import PERSONA_BYTES_MAX
from kernel.persona import Persona, load_personas, parse_persona
from kernel.persona_text import digest_of, faults, text_of
from tests.world import OWNER, World, open_world

pytestmark = pytest.mark.anyio


def _fields(**other: JsonValue) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {
        "id": "poet",
        "name": 'Poet: a "quoted" one #1',
        "role": "Poet",
        "description": "Writes verse — <b>bold</b>.",
        "system_prompt": "---\nYou write verse.\r\n\nid: dev\n---",
        "personality_traits": ["calm", "yes", "1"],
    }
    return {**given, **other}


async def _save(world: World, fields: dict[str, JsonValue]) -> Persona:
    await world.kernel.handle(OWNER).call("persona.save", fields)
    return load_personas(world.kernel.settings.home)[str(fields["id"])]


async def test_a_saved_persona_reads_back_and_is_journalled(tmp_path: Path) -> None:
    """Whatever YAML would make of its texts; the file is its owner's alone, and the entry holds it whole."""
    async with open_world(tmp_path) as world:
        kept = await _save(world, _fields())
        assert kept.name == 'Poet: a "quoted" one #1'
        assert kept.system_prompt == "---\nYou write verse.\n\nid: dev\n---"
        assert kept.personality_traits == ("calm", "yes", "1")
        assert (await anyio.Path(kept.source).stat()).st_mode & 0o777 == 0o600
        (entry,) = await world.kernel.journal.read(kind="persona.saved")
        assert entry.principal == OWNER
        assert entry.payload is not None
        assert entry.payload["persona"] == {**kept.json(), "source": ""}


async def test_one_that_comes_along_is_replaced_and_taken_back(tmp_path: Path) -> None:
    """The home's file stands in its place and says so; a reset brings back what came along, and is journalled."""
    async with open_world(tmp_path) as world:
        built_in = load_personas()["dev"]
        fields = {**built_in.json(), "name": "Mine", "before": digest_of(built_in)}
        mine = await _save(world, {name: value for name, value in fields.items() if name not in {"source", "replaces"}})
        assert (mine.name, mine.replaces, mine.system_prompt) == ("Mine", True, built_in.system_prompt)
        handle = world.kernel.handle(OWNER)
        await handle.call("persona.reset", {"id": "dev", "before": digest_of(mine)})
        assert load_personas(world.kernel.settings.home)["dev"] == built_in
        assert [entry.kind for entry in await world.kernel.journal.read(kind="persona.reset")] == ["persona.reset"]
        with pytest.raises(NotFound, match="came along"):
            await handle.call("persona.reset", {"id": "dev", "before": digest_of(built_in)})


async def test_an_edit_of_an_old_version_changes_nothing(tmp_path: Path) -> None:
    """Saved from what somebody else changed meanwhile, made anew over one that is there, reset when stale."""
    async with open_world(tmp_path) as world:
        first = await _save(world, _fields())
        second = await _save(world, _fields(name="Second", before=digest_of(first)))
        handle = world.kernel.handle(OWNER)
        for refused in (_fields(name="Third", before=digest_of(first)), _fields(name="Third")):
            with pytest.raises(Conflict):
                await handle.call("persona.save", refused)
        with pytest.raises(Conflict):
            await handle.call("persona.reset", {"id": "poet", "before": digest_of(first)})
        assert load_personas(world.kernel.settings.home)["poet"] == second


async def test_the_active_persona_is_neither_disabled_nor_removed(tmp_path: Path) -> None:
    """Seeds without a persona would fail; another must be active first."""
    async with open_world(tmp_path) as world:
        kept = await _save(world, _fields())
        handle = world.kernel.handle(OWNER)
        await handle.call("persona.use", {"name": "poet"})
        with pytest.raises(Conflict, match="active"):
            await handle.call("persona.save", _fields(enabled=False, before=digest_of(kept)))
        with pytest.raises(Conflict, match="active"):
            await handle.call("persona.reset", {"id": "poet", "before": digest_of(kept)})
        await handle.call("persona.use", {"name": ""})
        off = await _save(world, _fields(enabled=False, before=digest_of(kept)))
        assert not off.enabled


async def test_a_user_may_not_write_personas(tmp_path: Path) -> None:
    """The prompt of everybody's agents is the operator's to say; nothing is written."""
    async with open_world(tmp_path) as world:
        await world.kernel.handle(OWNER).call("users.create", {"name": "bob", "role": "user"})
        with pytest.raises(AccessDenied):
            await world.kernel.handle(user("bob")).call("persona.save", _fields())
        assert "poet" not in load_personas(world.kernel.settings.home)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../x"),
        ("name", ""),
        ("name", "two\nlines"),
        ("role", "x" * 81),
        ("description", "\u202e"),
        ("system_prompt", " \n"),
        ("system_prompt", "a\x00b"),
        ("system_prompt", "x" * PERSONA_BYTES_MAX),
        ("model", "no-provider"),
        ("personality_traits", ["x"] * 21),
    ],
)
async def test_a_field_that_is_wrong_is_named(tmp_path: Path, field: str, value: JsonValue) -> None:
    """And no file is written."""
    async with open_world(tmp_path) as world:
        with pytest.raises(Invalid, match=field):
            await world.kernel.handle(OWNER).call("persona.save", _fields(**{field: value}))
        assert not (world.kernel.settings.home / "personas").exists()


def test_each_that_comes_along_is_written_as_it_reads() -> None:
    """Text and back is the same persona, and none of them has a fault."""
    for persona in load_personas().values():
        again = parse_persona(text_of(persona), persona.source)
        assert again == persona
        assert not faults(persona)
        assert digest_of(again) == digest_of(persona)


def test_two_files_of_a_home_do_not_replace_each_other(tmp_path: Path) -> None:
    """Both may say that they stand in place of one that comes along; of two, nobody knows which is meant."""
    folder = tmp_path / "personas"
    folder.mkdir()
    mine = replace(load_personas()["dev"], replaces=True, name="Mine")
    (folder / "a.md").write_text(text_of(mine), encoding="utf-8")
    assert load_personas(tmp_path)["dev"].name == "Mine"
    (folder / "b.md").write_text(text_of(replace(mine, name="Other")), encoding="utf-8")
    with pytest.raises(Conflict, match=r"a\.md .* b\.md|a\.md and in .*b\.md"):
        load_personas(tmp_path)
