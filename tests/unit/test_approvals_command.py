"""`oxios approvals` over a real home: denied with nobody there, allowed afterwards, for always, forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oxios.__main__ import main


class Home:
    """A home and a workspace of their own, and the command line run on them where nobody listens."""

    def __init__(self, place: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.work = place / "work"
        self.work.mkdir()
        self.home = place / "home"
        self.capture = capture

    def oxios(self, *arguments: str, exit_code: int = 0) -> str:
        """What it printed: data where it went well, its words where it did not."""
        self.capture.readouterr()
        code = main(["--home", str(self.home), *arguments])
        said = self.capture.readouterr()
        assert code == exit_code, said.err
        return said.out if exit_code == 0 else said.err

    def make(self) -> None:
        """An agent that writes one file; whether it may is the test's matter."""
        plan = "write `made.txt`:\n```\nhello\n```\n"
        self.oxios("--set", "approval.mode=manual", "seed", "submit", plan, "--workspace", str(self.work))

    def listed(self, *flags: str) -> list[dict[str, Any]]:
        return json.loads(self.oxios("approvals", "list", "--json", *flags))

    @property
    def made(self) -> bool:
        return (self.work / "made.txt").exists()


def test_what_was_denied_is_allowed_later_then_always_then_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answer given on the command line decides exactly what the next run may do."""
    home = Home(tmp_path, capsys)
    assert home.listed("--all") == []
    home.make()
    assert not home.made
    (row,) = home.listed()
    assert (row["status"], row["question"]["tool"]) == ("denied", "write")
    assert str(home.work / "made.txt") in home.oxios("approvals", "show", row["id"])
    assert json.loads(home.oxios("approvals", "--json")) == [row]
    assert json.loads(home.oxios("approvals", "allow", row["id"], "--json"))["status"] == "allowed"
    home.make()
    assert home.made
    assert {one["status"] for one in home.listed("--all")} == {"used", "granted"}
    assert "used already" in home.oxios("approvals", "allow", row["id"], exit_code=1)
    (home.work / "made.txt").unlink()
    home.make()
    assert not home.made
    newest = home.listed()[0]
    home.oxios("approvals", "allow", newest["id"], "--always")
    (standing,) = json.loads(home.oxios("approvals", "standing", "--json"))
    assert (standing["key"], standing["approval"]) == ("write", newest["id"])
    home.make()
    assert home.made
    assert json.loads(home.oxios("approvals", "forget", "write", "--json")) is not None
    assert json.loads(home.oxios("approvals", "standing", "--json")) == []
    (home.work / "made.txt").unlink()
    home.make()
    assert not home.made, "what was forgotten let one more call through"
    assert "no approval" in home.oxios("approvals", "show", "p-none", exit_code=2)
    assert "no standing approval" in home.oxios("approvals", "forget", "write", exit_code=2)
