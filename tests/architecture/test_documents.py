"""What the documents tell a newcomer to type exists, and the changelog keeps its form."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kernel.settings.load import spec_of
from oxios.__main__ import build_parser
from oxios.commands import discover
from tests.architecture.parsers import subcommands
from tests.architecture.tree import ROOT, files, text

README_LINES_MAX = 120
BLOCK = re.compile(r"```(?:sh|console|)\n(.*?)```", re.DOTALL)
TYPED = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(oxios|make) (?! )([^#\n]+)", re.MULTILINE)
INLINE = re.compile(r"`(oxios|make) ([^`]+)`")


def _documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md" and path.name != "surface.md"]


def typed(source: str) -> set[tuple[str, str]]:
    """Every command of ours that a document shows: program and the rest of the line."""
    blocks = "\n".join(BLOCK.findall(source))
    return {(program, rest.strip()) for program, rest in [*TYPED.findall(blocks), *INLINE.findall(source)]}


def _words(rest: str) -> list[str]:
    """The words before the first argument that is no plain lower-case word."""
    words: list[str] = []
    for word in shlex.split(rest, comments=True) if rest.count("'") % 2 == 0 else rest.split():
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        words.append(word)
    return words


def unknown_command(rest: str) -> str:
    """The first word that names no command where a command must stand, or nothing."""
    parser = build_parser(discover())
    for word in _words(rest):
        inner = subcommands(parser)
        if not inner:
            return ""
        if word not in inner:
            return word
        parser = inner[word]
    return ""


@pytest.mark.parametrize("path", _documents(), ids=str)
def test_the_commands_a_document_names_exist(path: Path) -> None:
    """Every `oxios …` and `make …` of a document is one that the program or the Makefile has."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lost: list[str] = []
    for program, rest in sorted(typed(text(path))):
        if program == "oxios" and unknown_command(rest):
            lost.append(f"oxios {rest}: there is no {unknown_command(rest)!r}")
        if program == "make" and not re.search(rf"^{re.escape(rest.split()[0])}:", makefile, re.MULTILINE):
            lost.append(f"make {rest}")
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize("path", _documents(), ids=str)
def test_the_settings_a_document_sets_exist(path: Path) -> None:
    """Every key after `oxios config set` is one that the settings have."""
    keys = [rest.split()[2] for program, rest in typed(text(path)) if program == "oxios" and "config set " in rest]
    assert not [key for key in keys if spec_of(tuple(key.split("."))) is None]


def test_an_invented_command_is_seen() -> None:
    """The rule can fail: a command nobody wrote is named, and prose is left alone."""
    assert typed("Type `oxios frobnicate now`, or:\n```\nmake run   # it\n```\noxios is nice") == {
        ("oxios", "frobnicate now"),
        ("make", "run"),
    }
    assert unknown_command("frobnicate now") == "frobnicate"


def test_the_readme_is_one_page() -> None:
    """The README names the two commands and stays short enough to read at once."""
    readme = text(Path("README.md"))
    assert len(readme.splitlines()) <= README_LINES_MAX
    assert {("make", "run"), ("make", "test")} <= typed(readme)


def test_the_changelog_keeps_its_form() -> None:
    """Versions newest first with a date, the unreleased on top, known headings below each."""
    changelog = text(Path("CHANGELOG.md"))
    versions = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", version) for version in versions[1:])
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
