"""RFCs are numbered once, have a known status, and name modules and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

STATUSES = ("Draft", "Accepted", "Implemented", "Rejected")
SECTIONS = ("Problem", "Decision", "Alternatives", "What would change our mind", "What this does not protect against")
TEMPLATE = "0000"
NAME = re.compile(r"(\d{4})-[a-z0-9-]+\.md")
FIELD = re.compile(r"^- (Status|Date|Modules|Tests): (.+)$", re.MULTILINE)
PATH = re.compile(r"`([^`]+)`")
SUPERSEDED = re.compile(r"Superseded by \[RFC-(\d{4})\]\((\d{4})-[a-z0-9-]+\.md\)")


def _rfcs() -> list[Path]:
    return [path for path in files() if path.parent == Path("rfcs") and NAME.fullmatch(path.name)]


def faults(name: str, source: str, root: Path) -> list[str]:
    """What is wrong with one RFC's text."""
    number = name[:4]
    found: list[str] = []
    if not source.startswith(f"# RFC-{number}: "):
        found.append(f"the title is not '# RFC-{number}: …'")
    fields = dict(FIELD.findall(source))
    found += [f"no field {field}" for field in ("Status", "Date", "Modules", "Tests") if field not in fields]
    status = fields.get("Status", "")
    if status not in STATUSES and not SUPERSEDED.fullmatch(status):
        found.append(f"status {status!r} is none of {', '.join(STATUSES)}, Superseded by [RFC-NNNN](NNNN-slug.md)")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", fields.get("Date", "")):
        found.append("the date is not YYYY-MM-DD")
    for field in ("Modules", "Tests"):
        paths = PATH.findall(fields.get(field, ""))
        found += [f"{field}: {path} does not exist" for path in paths if not list(root.glob(path.rstrip("/")))]
        if not paths and number != TEMPLATE:
            found.append(f"{field} names no path in backticks")
    found += [f"no section '{section}'" for section in SECTIONS if f"\n## {section}\n" not in source]
    return found


@pytest.mark.parametrize("path", _rfcs(), ids=lambda path: path.name)
def test_an_rfc_is_well_formed(path: Path) -> None:
    """Title, status, date, modules, tests and sections are all there, and what is named exists."""
    assert not faults(path.name, text(path), ROOT)


def test_numbers_are_unique() -> None:
    """No two RFCs have one number, and none but RFCs, glossary and generated pages stand in the folder."""
    numbers = [path.name[:4] for path in _rfcs()]
    assert len(numbers) == len(set(numbers))
    others = {path.name for path in files() if path.parent == Path("rfcs") and path.suffix == ".md"}
    assert others - {path.name for path in _rfcs()} <= {"glossary.md", "surface.md", "figures.md"}


def test_every_rfc_a_source_cites_exists() -> None:
    """A docstring that gives an RFC as its source gives one that is there."""
    known = {path.name[:4] for path in _rfcs()}
    cited = {
        (number, path)
        for path in files()
        if path.suffix == ".py" and path.parts[0] != "tests"
        for number in re.findall(r"RFC-(\d{4})\b", text(path))
        if number.startswith("00")
    }
    assert not sorted((number, str(path)) for number, path in cited if number not in known)


def test_a_bad_rfc_is_seen() -> None:
    """Unknown status, lost module and missing section are each named."""
    bad = "# RFC-0009: X\n- Status: Perhaps\n- Date: 2026-01-01\n- Modules: `kernel/nowhere.py`\n- Tests: `tests`\n"
    found = "\n".join(faults("0009-x.md", bad, ROOT))
    assert "Perhaps" in found
    assert "kernel/nowhere.py does not exist" in found
    assert "no section 'Problem'" in found
