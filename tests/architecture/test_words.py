"""No file names this machine or a registry, and the tree's documents point at what exists."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

TEXT = {".py", ".md", ".toml", ".csv", ".conf", ".mako", ".ini", ".txt", ""}
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|registry\.npmjs|--(extra-)?index-url", re.IGNORECASE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")


def _texts() -> list[Path]:
    return [path for path in files() if path.suffix in TEXT]


def places_of_this_machine(source: str) -> list[str]:
    """Absolute paths that hold on the machine of the writer only: the checkout and the home."""
    homes = {f"{ROOT}{os.sep}", f"{Path.home()}{os.sep}"}
    return [place for place in homes if len(place) > len("/x/") and place in source]


def test_no_file_names_this_machine() -> None:
    """No file holds the path of this checkout or of the home of whoever runs the tests."""
    named = [f"{path}: {place}" for path in _texts() for place in places_of_this_machine(text(path))]
    assert not named, "\n".join(named)


def test_no_file_names_a_registry() -> None:
    """Packages are installed by name; where from is the machine's configuration."""
    here = Path(__file__).resolve().relative_to(ROOT)
    named = [path for path in _texts() if path != here and REGISTRIES.search(text(path))]
    assert not named


def test_the_rules_see_a_bad_example() -> None:
    """A path below the checkout and a registry's host are both seen."""
    assert places_of_this_machine(f"open('{ROOT / 'x'}')")
    assert REGISTRIES.search("pip install --index-url x")


@pytest.mark.parametrize("path", [path for path in files() if path.suffix == ".md"], ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link of a document names a file of the tree."""
    known = set(files()) | {parent for name in files() for parent in name.parents}
    lost = [
        link for link in LINK.findall(text(path)) if Path(os.path.normpath(path.parent / link.rstrip("/"))) not in known
    ]
    assert not lost
