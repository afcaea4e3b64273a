"""`oxios users` and `oxios tokens` over a real home."""

from __future__ import annotations

import io
import json
from pathlib import Path

import anyio
import pytest

from kernel.boot import open_kernel
from kernel.handle.passwords import PasswordBook
from kernel.ids import Principal, user
from kernel.settings import load_settings
from ouroboros.projection import PROJECTORS
from oxios.__main__ import main
from oxios.session import operator
from webui.options import WebOptions
from webui.security.doors import Doors


class Home:
    """A home, and the command line run on it."""

    def __init__(self, place: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.home = place / "home"
        self.capture = capture

    def oxios(self, *arguments: str, exit_code: int = 0) -> str:
        """What it printed: data where it went well, its words where it did not."""
        self.capture.readouterr()
        code = main(["--home", str(self.home), *arguments])
        said = self.capture.readouterr()
        assert code == exit_code, said.err
        return said.out.strip() if exit_code == 0 else said.err

    def opens(self, link: str = "", token: str = "") -> str:
        """Whom a link or a token lets in now; empty for nobody."""

        async def go() -> str:
            settings = load_settings(home=self.home, cwd=self.home, overrides={}, env={})
            async with open_kernel(settings, operator=operator(), more_projectors=PROJECTORS) as kernel:
                doors = Doors(kernel, WebOptions())
                if token:
                    visitor = doors.by_token(token)
                    return visitor.user.principal if visitor else ""
                visitor = doors.by_session(doors.by_link(link.partition("#")[2], "here"))
                return visitor.user.principal if visitor else ""

        return anyio.run(go)


def test_users_are_added_given_a_role_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The link that is printed signs in whom it was made for; a name that was used is not given again unasked."""
    home = Home(tmp_path, capsys)
    link = home.oxios("users", "create", "bob")
    assert link.startswith("http://127.0.0.1:4200/sign-in#")
    assert home.opens(link) == "user:bob"
    assert home.opens(home.oxios("users", "link")) == operator()
    home.oxios("users", "role", "bob", "viewer")
    found = json.loads(home.oxios("users", "list", "--json"))
    assert [(one["name"], one["role"]) for one in found["users"]] == [("bob", "viewer")]
    assert "bob" in home.oxios("users")
    assert "already" in home.oxios("users", "create", "bob", exit_code=1)
    home.oxios("users", "remove", "bob")
    assert json.loads(home.oxios("users", "list", "--json"))["users"] == []
    assert "--again" in home.oxios("users", "create", "bob", exit_code=1)
    home.oxios("users", "create", "bob", "--again")


def test_a_password_is_set_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's without a name; too short is refused; it can be taken away."""
    home = Home(tmp_path, capsys)

    def enter(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    def fits(principal: Principal, password: str) -> bool:
        return anyio.run(PasswordBook(home.home).check, principal, password)

    enter("correct horse battery\n")
    home.oxios("users", "password")
    assert fits(operator(), "correct horse battery")
    assert "yes" in home.oxios("users", "list")
    home.oxios("users", "create", "bob")
    enter("short\n")
    assert "12 to 256" in home.oxios("users", "password", "bob", exit_code=2)
    assert not fits(user("bob"), "short")
    home.oxios("users", "password", "--remove")
    assert not fits(operator(), "correct horse battery")


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text is printed once; the list has its scopes; after the revocation it opens nothing."""
    home = Home(tmp_path, capsys)
    home.oxios("users", "create", "bob")
    made = json.loads(
        home.oxios(
            "tokens", "create", "ci", "--user", "bob", "--scope", "run", "--scope", "read", "--expires", "30d", "--json"
        )
    )
    assert home.opens(token=made["token"]) == "user:bob"
    (listed,) = json.loads(home.oxios("tokens", "list", "--json"))
    assert (listed["id"], listed["scopes"]) == (made["id"], ["read", "run"])
    shown = home.oxios("tokens")
    assert made["id"] in shown
    assert "in 719 h" in shown
    assert made["token"] not in shown
    home.oxios("tokens", "revoke", made["id"])
    assert home.opens(token=made["token"]) == ""
    assert "no token" in home.oxios("tokens", "revoke", made["id"], exit_code=2)
    assert "not a period" in home.oxios("tokens", "create", "x", "--expires", "soon", exit_code=2)
