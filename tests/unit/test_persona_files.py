"""Personas: nine come along, each its own; files of the home add to them and never replace one."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from kernel.errors import Conflict, Invalid, NotFound, OxiosError
from kernel.limits import PERSONA_BYTES_MAX, PERSONAS_MAX
from kernel.persona import load_personas, parse_persona, pick

ROLES = {
    "architect": "architect",
    "dev": "developer",
    "mentor": "mentor",
    "ops": "sre",
    "planner": "planner",
    "research": "researcher",
    "review": "qa",
    "security": "security",
    "writer": "writer",
}
OWN = "---\nid: {id}\nname: Poet\nrole: Poet\ndescription: Writes verse.\n---\nYou write verse.\n"


def _home(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "personas"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_nine_are_there() -> None:
    """Without a home there are exactly the nine that come along, with their roles, all enabled."""
    personas = load_personas()
    assert {item.id: item.role for item in personas.values()} == ROLES
    assert all(item.enabled and item.description and item.personality_traits for item in personas.values())


def test_each_speaks_for_itself() -> None:
    """Every system prompt is 15 to 40 lines, and no two of them share a line of any length."""
    prompts = {item.id: item.system_prompt for item in load_personas().values()}
    for name, prompt in prompts.items():
        assert 15 <= prompt.count("\n") + 1 <= 40, name
    for first, second in combinations(prompts.values(), 2):
        shared = {line for line in first.splitlines() if len(line) > 25} & set(second.splitlines())
        assert not shared


def test_a_home_adds_its_own(tmp_path: Path) -> None:
    """A file in HOME/personas is a persona like the others; files of other kinds are left alone."""
    home = _home(tmp_path, poet=OWN.format(id="poet"))
    (home / "personas/readme.txt").write_text("not a persona", encoding="utf-8")
    personas = load_personas(home)
    assert len(personas) == len(ROLES) + 1
    assert (personas["poet"].role, personas["poet"].system_prompt) == ("poet", "You write verse.")
    assert personas["poet"].source == str(home / "personas/poet.md")


def test_a_second_file_of_one_id_is_refused(tmp_path: Path) -> None:
    """An id that is taken stops the loading, and the error names both files."""
    with pytest.raises(Conflict) as caught:
        load_personas(_home(tmp_path, mine=OWN.format(id="dev")))
    assert "personas/dev.md" in caught.value.message
    assert str(tmp_path / "personas/mine.md") in caught.value.message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (OWN.format(id="Po et"), "no id"),
        (OWN.format(id="poet").replace("name: Poet\n", ""), "name is missing"),
        (OWN.format(id="poet").replace("role: Poet", "role: [a]"), "role must be a text"),
        (OWN.format(id="poet").replace("You write verse.", ""), "system prompt is empty"),
        (OWN.format(id="poet").replace("role:", "rle:"), "unknown name 'rle'"),
        (OWN.format(id="poet").replace("role:", "cspace: supervisor\nrole:"), "unknown name 'cspace'"),
        (OWN.format(id="poet").replace("role:", "enabled: 'no'\nrole:"), "enabled must be"),
        (OWN.format(id="poet").replace("role:", "personality_traits: kind\nrole:"), "must be a list"),
        ("You write verse.", "id is missing"),
    ],
)
def test_a_wrong_persona_is_refused_by_name(text: str, what: str) -> None:
    """A missing, unknown or mistyped field is refused with the file's name; there is no field for authority."""
    with pytest.raises(Invalid, match=what) as caught:
        parse_persona(text, "home/poet.md")
    assert "home/poet.md" in caught.value.message


def test_a_files_size_is_bounded_on_both_sides(tmp_path: Path) -> None:
    """A persona of exactly the most bytes loads; one byte more is refused."""
    text = OWN.format(id="poet")
    full = text + "x" * (PERSONA_BYTES_MAX - len(text))
    home = _home(tmp_path, poet=full)
    assert load_personas(home)["poet"].system_prompt.endswith("x")
    (home / "personas/poet.md").write_text(full + "x", encoding="utf-8")
    with pytest.raises(Invalid, match=f"{PERSONA_BYTES_MAX + 1} bytes"):
        load_personas(home)


def test_their_number_is_bounded_on_both_sides(tmp_path: Path) -> None:
    """PERSONAS_MAX personas load; one more is refused."""
    room = PERSONAS_MAX - len(ROLES)
    home = _home(tmp_path, **{f"p{number}": OWN.format(id=f"p{number}") for number in range(room)})
    assert len(load_personas(home)) == PERSONAS_MAX
    (home / "personas/q.md").write_text(OWN.format(id="q"), encoding="utf-8")
    with pytest.raises(OxiosError, match=str(PERSONAS_MAX)):
        load_personas(home)


def test_picking_needs_a_name_that_is_there_and_enabled(tmp_path: Path) -> None:
    """An unknown name is answered with the nearest, a disabled persona with how to enable it."""
    home = _home(tmp_path, poet=OWN.format(id="poet").replace("role:", "enabled: false\nrole:"))
    personas = load_personas(home)
    assert pick(personas, "dev").id == "dev"
    with pytest.raises(NotFound) as caught:
        pick(personas, "reserch")
    assert "research" in caught.value.remedy
    with pytest.raises(Conflict, match="disabled"):
        pick(personas, "poet")
