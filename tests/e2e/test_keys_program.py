"""Keys in the real program: which of five places is asked first, and what is left of them in the home."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from kernel.testing.model_server import Answer, ModelServer, model_server
from tests.e2e.place import Place

pytestmark = pytest.mark.anyio

HELLO = Answer(text=json.dumps({"kind": "conversation", "reply": "Hello."}))
_ROOT = Path(__file__).resolve().parents[2]


async def _asked(place: Place, server: ModelServer) -> str:
    """The key that one message brings to the server."""
    server.script.append(HELLO)
    done = await anyio.to_thread.run_sync(lambda: place.oxios("run", "hello", "--model", "mine/any", "-q"))
    assert (done.returncode, done.stdout) == (0, "Hello.\n"), done.stderr
    return server.requests[-1].headers.get("Authorization", "none").removeprefix("Bearer ")


def _place(tmp_path: Path, server: ModelServer) -> Place:
    place = Place(tmp_path)
    place.env |= {
        "OXIOS__PROVIDERS__MINE__BASE_URL": server.url,
        "PYTHON_KEYRING_BACKEND": "tests.e2e.file_keyring.FileKeyring",
        "PYTHONPATH": str(_ROOT),
        "KEYRING_FILE": str(tmp_path / "keyring.json"),
    }
    for name in ("LLM_API_KEY", "MINE_API_KEY"):
        place.env.pop(name, None)
    return place


async def test_keys_are_looked_for_in_one_order(tmp_path: Path) -> None:
    """Named > the provider's variable > the fallback > keyring > encrypted file: each is used once it is first."""
    async with model_server([]) as server:
        place = _place(tmp_path, server)
        kept = [
            place.oxios("models", "key", "set", "mine", stdin="key-of-the-file\n"),
            place.oxios("models", "key", "set", "mine", "--keyring", stdin="key-of-the-keyring\n"),
        ]
        assert [done.returncode for done in kept] == [0, 0], kept
        place.env |= {
            "OXIOS__PROVIDERS__MINE__KEY_ENV": "NAMED", "NAMED": "key-that-is-named",
            "MINE_API_KEY": "key-of-the-provider", "LLM_API_KEY": "key-to-fall-back",
            "OXIOS__ROUTING__KEYRING": "true",
        }  # fmt: skip
        for used, gone in (
            ("key-that-is-named", ("NAMED", "OXIOS__PROVIDERS__MINE__KEY_ENV")),
            ("key-of-the-provider", ("MINE_API_KEY",)),
            ("key-to-fall-back", ("LLM_API_KEY",)),
            ("key-of-the-keyring", ("OXIOS__ROUTING__KEYRING",)),
            ("key-of-the-file", ()),
        ):
            assert await _asked(place, server) == used
            for name in gone:
                del place.env[name]
        assert place.oxios("models", "key", "remove", "mine").returncode == 0
        assert await _asked(place, server) == "none"


async def test_a_key_lies_open_nowhere_in_the_home(tmp_path: Path) -> None:
    """Neither the file of keys, nor journal, nor settings hold it in the clear."""
    async with model_server([]) as server:
        place = _place(tmp_path, server)
        place.env["OXIOS__ROUTING__KEYRING"] = "true"
        assert place.oxios("models", "key", "set", "mine", stdin="key-of-the-file\n").returncode == 0
        assert await _asked(place, server) == "key-of-the-file"
        assert place.oxios("models", "key", "set", "mine", "--keyring", stdin="key-of-the-keyring\n").returncode == 0
        assert await _asked(place, server) == "key-of-the-keyring"
        assert "key-of-the-keyring" in (tmp_path / "keyring.json").read_text()
        listed = place.oxios("models", "key", "list")
        assert "keyring" in listed.stdout
        written = b"".join(path.read_bytes() for path in place.home.rglob("*") if path.is_file())
        for value in (b"key-of-the-file", b"key-of-the-keyring"):
            assert value not in written
            assert value.decode() not in listed.stdout + listed.stderr
        assert place.oxios("models", "key", "remove", "mine", "--keyring").returncode == 0
        assert await _asked(place, server) == "key-of-the-file"
