"""Seeds are read whole, in three notations and as plain text, or refused with place and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel.errors import Invalid, NotFound, OxiosError
from kernel.limits import SEED_BYTES_MAX
from ouroboros.seed import OntologyEntity, SeedMount, SeedSpec
from ouroboros.seedfile import SeedFile, parse_seed, read_seed
from ouroboros.seedforms import Form

TOML = """
goal = "Tidy the notes"
constraints = ["keep every word"]
criteria = ["file exists: notes/index.md", {command = "ls notes", succeeds = true}, "It reads well"]
mounts = ["notes", {path = "lib", mode = "ro"}]
ontology = [{name = "note", type = "file", description = "one thought"}]
output_schema = {type = "object"}
cspace_hint = ["file:/w/** r"]
model = "openai/x"
persona = "writer"
original_request = "tidy up, please"
budget = {tokens = 10, calls = 3, usd = 0.29, seconds = 1.5}
"""
JSON = """{
 "goal": "Tidy the notes", "constraints": ["keep every word"],
 "criteria": ["file exists: notes/index.md", {"command": "ls notes", "succeeds": true}, "It reads well"],
 "mounts": ["notes", {"path": "lib", "mode": "ro"}],
 "ontology": [{"name": "note", "entity_type": "file", "description": "one thought"}],
 "output_schema": {"type": "object"}, "cspace_hint": ["file:/w/** r"], "model": "openai/x",
 "persona": "writer", "original_request": "tidy up, please",
 "budget": {"tokens": 10, "calls": 3, "micro_usd": 290000, "seconds": 1.5}
}"""
MARKDOWN = """---
mounts: [notes, {path: lib, mode: ro}]
ontology:
  - {name: note, type: file, description: one thought}
output_schema: {type: object}
cspace_hint: ["file:/w/** r"]
model: openai/x
persona: writer
original_request: tidy up, please
budget: {tokens: 10, calls: 3, usd: 0.29, seconds: 1.5}
---
Tidy the notes

## Constraints
- keep every word

## Acceptance criteria
- [ ] `file exists: notes/index.md`
- command succeeds:
  ls notes
* It reads well
"""


@pytest.mark.parametrize(("text", "form"), [(TOML, "toml"), (JSON, "json"), (MARKDOWN, "md")])
def test_the_three_notations_say_the_same(text: str, form: Form) -> None:
    """One seed written in TOML, JSON and Markdown is one and the same specification."""
    spec = parse_seed(text, form, "x")
    assert spec == parse_seed(TOML, "toml", "x")
    assert spec.criteria == ("file exists: notes/index.md", "command succeeds: ls notes", "It reads well")
    assert spec.mounts == (SeedMount(path="notes"), SeedMount(path="lib", mode="ro"))
    assert spec.ontology == (
        OntologyEntity.model_validate({"name": "note", "type": "file", "description": "one thought"}),
    )
    assert spec.budget.micro_usd == 290_000
    assert spec.cspace_hint == ("file:/w/** r",)


@pytest.mark.parametrize(
    ("form", "text", "place", "what"),
    [
        ("toml", 'goal = "x"\nbuget = {tokens = 1}\n', "line 2", "did you mean 'budget'"),
        ("toml", 'goal = "x"\n\n[budget]\ntokns = 1\n', "line 4", "did you mean 'tokens'"),
        ("toml", 'goal = "x"\nmounts = [{path = "a", mode = "rx"}]\n', "line 2", "'ro' or 'rw'"),
        ("toml", 'goal = "x"\nontology = [{nam = "a"}]', "line 2", "did you mean 'name'"),
        ("toml", 'goal = "x"\nbudget = {tokens = "many"}', "line 2", "valid integer"),
        ("toml", 'goal = "x"\nbudget = {tokens = true}', "line 2", "valid integer"),
        ("toml", 'goal = "x"\nbudget = {seconds = true}', "line 2", "a number"),
        ("toml", 'goal = "x"\nbudget = {usd = 0.0000001}', "line 2", "six decimals"),
        ("toml", 'goal = "x"\nbudget = {usd = -1}', "line 2", "greater than 0"),
        ("toml", 'goal = "x"\nbudget = {usd = 1, micro_usd = 5}', "line 2", "not both"),
        ("toml", 'goal = "x"\nbudget = {usd = "1"}', "line 2", "number of dollars"),
        ("toml", 'goal = "x"\nbudget = {usd = inf}', "budget.usd", "no number"),
        ("toml", 'goal = "x"\nmodel = 2026-01-01', "model", "date or time"),
        ("toml", 'goal = "x"\nmodel = 99999999999999999', "model", "too large"),
        ("toml", 'goal = "x"\ngoal = "y"', "at the end", "overwrite"),
        ("toml", 'goal = "x"\nmodel = y\n', "line 2, column 9", "Invalid value"),
        ("toml", 'goal = "x"\ncriteria = ["file exists:"]', "line 2", "not whole"),
        ("toml", 'goal = "x"\ncriteria = "file exists: a"', "line 2", "be a list"),
        ("toml", 'goal = "x"\ncriteria = ["output matches schema"]', "x.toml", "no output_schema"),
        ("toml", 'goal = "  "', "line 1", "must say"),
        ("toml", 'constraints = ["y"]', "x.toml", "goal is missing"),
        ("json", '{"goal": "x",\n "gaol": 1}', "line 2", "unknown name 'gaol'"),
        ("json", '{"goal": "x",\n "goal": "y"}', "line 1", "given twice"),
        ("json", '{"goal": "x",\n}', "line 2, column 1", "property name"),
        ("json", '["x"]', "x.json", "one object"),
        ("json", '{"goal": "x", "budget": {"usd": NaN}}', "budget.usd", "no number"),
        ("json", '{"goal": "\\ud800"}', "goal", "no text"),
        ("json", '{"goal": "a\\u0000b"}', "goal", "no text"),
        ("json", '{"goal": 3}', "line 1", "valid string, not 3"),
        ("json", "[" * 5000, "x.json", "nested too deep"),
        ("json", '{"goal":"x","output_schema":' + '{"a":' * 100 + "1" + "}" * 101, "x.json", "deeper than 64"),
        ("json", '{"goal": "x", "output_schema": {"type": "objct"}}', "line 1", "no JSON Schema"),
        ("json", '{"goal": "x", "output_schema": {"$ref": "http://127.0.0.1:9/s"}}', "line 1", "may not load"),
        ("json", '{"goal": "x", "output_schema": {"$ref": "file:///etc/passwd"}}', "line 1", "may not load"),
        ("md", "---\ngoal: x\ncriteria: &a [b]\nconstraints: *a\n---\n", "line 4, column 14", "aliases"),
        ("md", "---\ngoal: x\ngoal: y\n---\n", "line 3, column 1", "given twice"),
        ("md", "---\ngoal: x\n1: y\n---\n", "line 3, column 1", "must be a text"),
        ("md", "---\ngoal: x\nmodel: [\n---\n", "line 3, column 9", "expected"),
        ("md", "---\ngoal: x\n", "line 1", "no end"),
        ("md", "---\n- x\n---\ny", "line 2", "not a mapping"),
        ("md", "---\ngoal: !!python/object:os.system x\n---\n", "line 2", "could not determine"),
        ("md", "Do it\n\n## Criteria\nfile exists: a\n", "line 4", "no list item"),
        ("md", "---\ncriteria: [a]\n---\nDo it\n## Criteria\n- b\n", "x.md", "keep one of the two"),
        ("md", "---\ngoal: x\noriginal_request: y\n---\nz", "line 5", "body has no meaning"),
        ("md", "---\ngoal: no\n---\n", "line 2", "valid string, not False"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(form: Form, text: str, place: str, what: str) -> None:
    """Every wrong field, value and notation is refused with file, line where known, and what is allowed."""
    with pytest.raises(Invalid) as caught:
        parse_seed(text, form, f"x.{form}")
    said = caught.value.explain()
    assert f"x.{form}" in said
    assert place in said
    assert what in said


def test_every_fault_is_told_at_once() -> None:
    """Two wrong fields are two findings in one error, so one correction round is enough."""
    with pytest.raises(Invalid) as caught:
        parse_seed('goal = "x"\nmodell = "a"\nbudget = {calls = 0}', "toml", "x.toml")
    assert "modell" in caught.value.message
    assert "budget.calls" in caught.value.message


def test_headings_in_a_fence_are_part_of_the_goal() -> None:
    """A fenced plan that contains the word of a section stays in the goal untouched."""
    text = "Do this:\n\n```plan\n## Criteria\n- not one\n```\n\n## Steps\n- first\n\n## Criteria\n- file exists: a\n"
    spec = parse_seed(text, "md", "x")
    assert spec.goal == "Do this:\n\n```plan\n## Criteria\n- not one\n```\n\n## Steps\n- first"
    assert spec.criteria == ("file exists: a",)


def test_a_body_beside_a_goal_is_the_original_request() -> None:
    """With `goal` in the front matter the body is kept as what was asked for in the first place."""
    spec = parse_seed("---\ngoal: x\n---\nplease do x\n", "md", "x")
    assert (spec.goal, spec.original_request) == ("x", "please do x")


def test_a_seed_is_read_from_file_stdin_and_argument(tmp_path: Path) -> None:
    """A file by its suffix or its looks, standard input by its looks, and anything else is the goal."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "b.txt").write_text(JSON, encoding="utf-8")
    (tmp_path / "c.txt").write_text("make tea\n", encoding="utf-8")
    spec = parse_seed(TOML, "toml", "x")
    found = read_seed("sub/a.toml", cwd=tmp_path)
    assert (found.spec, found.source, found.directory) == (spec, "sub/a.toml", (tmp_path / "sub").resolve())
    assert read_seed("b.txt", cwd=tmp_path).spec == spec
    assert read_seed("c.txt", cwd=tmp_path).spec == SeedSpec(goal="make tea")
    assert read_seed("-", cwd=tmp_path, stdin=MARKDOWN.encode()).spec == spec
    assert read_seed("-", cwd=tmp_path, stdin=b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode()).spec == spec
    assert read_seed("-", cwd=tmp_path, stdin=b"make tea").spec == SeedSpec(goal="make tea")
    assert read_seed("make tea/coffee, please", cwd=tmp_path).spec.goal == "make tea/coffee, please"
    assert read_seed("tea", cwd=tmp_path).spec.goal == "tea"


@pytest.mark.parametrize(
    ("argument", "error", "what"),
    [
        ("missing.toml", NotFound, "no file"),
        ("seeds/missing", NotFound, "no file"),
        ("folder", Invalid, "is a directory"),
        ("empty.toml", Invalid, "is empty"),
        ("latin.toml", Invalid, "line 2: not UTF-8"),
        ("", Invalid, "is empty"),
        ("  ", Invalid, "is empty"),
    ],
)
def test_unreadable_sources_are_told_apart(tmp_path: Path, argument: str, error: type[OxiosError], what: str) -> None:
    """A missing file, a directory, nothing at all and a wrong encoding each get their own message."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.toml").write_text("\n \n", encoding="utf-8")
    (tmp_path / "latin.toml").write_bytes(b'goal = "x"\nmodel = "\xe9"')
    with pytest.raises(error, match=what):
        read_seed(argument, cwd=tmp_path)


def test_the_size_limit_holds_on_both_sides(tmp_path: Path) -> None:
    """A seed of exactly SEED_BYTES_MAX bytes is read; one byte more is refused before parsing."""
    head = b'goal = "x"\n'
    (tmp_path / "full.toml").write_bytes(head + b"#" * (SEED_BYTES_MAX - len(head)))
    (tmp_path / "over.toml").write_bytes(head + b"#" * (SEED_BYTES_MAX - len(head) + 1))
    assert read_seed("full.toml", cwd=tmp_path).spec.goal == "x"
    with pytest.raises(Invalid, match=str(SEED_BYTES_MAX)):
        read_seed("over.toml", cwd=tmp_path)
    with pytest.raises(Invalid, match=str(SEED_BYTES_MAX)):
        read_seed("-", cwd=tmp_path, stdin=b"x" * (SEED_BYTES_MAX + 1))


def test_a_schema_file_is_only_json() -> None:
    """JSON written by our own dump is read back as the same spec."""
    spec = parse_seed(TOML, "toml", "x")
    assert parse_seed(json.dumps(spec.model_dump(mode="json")), "json", "x") == spec


def test_what_is_found_wrong_later_names_the_line_too(tmp_path: Path) -> None:
    """A name that only the kernel can judge is blamed on the line that gives it; a flag's is not, nor a goal's."""
    (tmp_path / "a.toml").write_text('goal = "list ."\npersona = "devv"\n')
    found = read_seed("a.toml", cwd=tmp_path)
    with pytest.raises(NotFound, match=r"^a\.toml, line 2: persona: there is none$") as refused:
        _refuse(found, "persona")
    assert refused.value.remedy == "see the list"
    plain = read_seed("list the files", cwd=tmp_path)
    for one, name, flag in ((found, "persona", "dex"), (found, "mounts", ""), (plain, "persona", "")):
        with pytest.raises(NotFound, match=r"^there is none$"):
            _refuse(one, name, unless=flag)


def _refuse(found: SeedFile, name: str, *, unless: str = "") -> None:
    with found.blamed(name, unless=unless):
        raise NotFound("there is none", remedy="see the list")
