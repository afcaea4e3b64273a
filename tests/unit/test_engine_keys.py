"""Where keys come from, which are used, and how the home keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kernel.engine.failures import FailureClass
from kernel.engine.keys import Cooldown, Cooldowns, KeyRing
from kernel.engine.sources import Sources, variables_of
from kernel.engine.vault import KEYS_PER_PROVIDER_MAX, Vault
from kernel.errors import Invalid, NotFound
from kernel.settings.tree import ProviderSettings

OPENAI = ProviderSettings(base_url="https://api.openai.com/v1")
NAMED = ProviderSettings(base_url="https://api.openai.com/v1", key_env="MINE")
LOCAL = ProviderSettings(base_url="http://127.0.0.1:11434/v1")
LAN = ProviderSettings(base_url="http://nas.lan:8000/v1")


def sources(tmp_path: Path, environ: Mapping[str, str], ring: str | None = None) -> Sources:
    return Sources(environ, Vault(tmp_path / "keys"), lambda _: ring)


@pytest.mark.parametrize(
    ("settings", "environ", "ring", "kept", "expected"),
    [
        (NAMED, {"MINE": "a", "OPENAI_API_KEY": "b", "LLM_API_KEY": "c"}, "d", "e", ["env:MINE"]),
        (OPENAI, {"OPENAI_API_KEY": "b", "LLM_API_KEY": "c"}, "d", "e", ["env:OPENAI_API_KEY"]),
        (OPENAI, {"X_API_KEY": "b", "LLM_API_KEY": "c"}, "d", "e", ["env:X_API_KEY"]),
        (OPENAI, {"LLM_API_KEY": "c"}, "d", "e", ["env:LLM_API_KEY"]),
        (OPENAI, {"LLM_API_KEY_1": "c", "LLM_API_KEY_9": "d"}, "d", "e", ["env:LLM_API_KEY_1", "env:LLM_API_KEY_9"]),
        (OPENAI, {}, "d", "e", ["keyring"]),
        (OPENAI, {}, None, "e", ["file#1"]),
        (OPENAI, {}, None, "", ["none"]),
        (NAMED, {"LLM_API_KEY": "c"}, None, "", []),
        (NAMED, {"LLM_API_KEY": "c"}, None, "e", ["file#1"]),
        (LOCAL, {"LLM_API_KEY": "c"}, None, "", ["env:LLM_API_KEY"]),
        (LAN, {"LLM_API_KEY": "c", "OPENAI_API_KEY": "b"}, None, "", ["none"]),
        (LAN, {"X_API_KEY": "c"}, None, "", ["env:X_API_KEY"]),
        (ProviderSettings(kind="embedded"), {"LLM_API_KEY": "c"}, "d", "e", ["none"]),
    ],
)
def test_the_first_source_that_has_a_key_wins(
    *,
    tmp_path: Path,
    settings: ProviderSettings,
    environ: dict[str, str],
    ring: str | None,
    kept: str,
    expected: list[str],
) -> None:
    """Explicit > the provider's own variable > the fallback > keyring > file; never to who did not earn it."""
    found = sources(tmp_path, environ, ring)
    if kept:
        found.vault.add("x", kept)
    assert [key.source for key in found.find("x", settings).keys] == expected


def test_a_vendors_variable_goes_to_its_host_alone(tmp_path: Path) -> None:
    """OPENAI_API_KEY is not sent to another address unless the settings name it."""
    elsewhere = ProviderSettings(base_url="https://proxy.test/v1")
    environ = {"OPENAI_API_KEY": "b"}
    assert [key.source for key in sources(tmp_path, environ).find("x", elsewhere).keys] == ["none"]
    assert "OPENAI_API_KEY" not in variables_of("x", elsewhere)
    assert "OPENAI_API_KEY" in variables_of("x", OPENAI)


def test_several_named_keys_are_several_profiles(tmp_path: Path) -> None:
    """key_env and keys, in order, the same value once; what is missing is named where none is there."""
    settings = ProviderSettings(base_url="https://x.test", key_env="A", keys=("B", "A", "C"))
    found = sources(tmp_path, {"A": "1", "B": "2", "C": "1"}).find("x", settings)
    assert [(key.source, key.value) for key in found.keys] == [("env:A", "1"), ("env:B", "2")]
    assert sources(tmp_path, {}).find("x", settings).missing == ("A", "B", "C")


def test_no_output_holds_a_value(tmp_path: Path) -> None:
    """A key is shown by its source: neither its text form nor its id has the value."""
    (key,) = sources(tmp_path, {"OPENAI_API_KEY": "sk-very-secret-value"}).find("x", OPENAI).keys
    assert "secret" not in f"{key!r} {key} {key.id}"


def test_pick_skips_what_cools_and_never_shortens_a_cooldown(tmp_path: Path) -> None:
    """The first key that does not rest; a milder failure later does not wake one; time does."""
    cooldowns = Cooldowns()
    settings = ProviderSettings(base_url="https://x.test", keys=("A", "B"))
    ring = KeyRing({"x": settings}, sources(tmp_path, {"A": "1", "B": "2"}), cooldowns)
    first, second = ring.keys("x")
    assert ring.pick("x", 0.0) == first
    cooldowns.cool(first, Cooldown(300.0, FailureClass.AUTH, passes=False))
    cooldowns.cool(first, Cooldown(60.0, FailureClass.TIMEOUT, passes=True))
    assert ring.pick("x", 299.0) == second
    assert ring.pick("x", 300.0) == first
    cooldowns.cool(first, Cooldown(500.0, FailureClass.AUTH, passes=False))
    cooldowns.cool(second, Cooldown(500.0, FailureClass.AUTH, passes=False))
    assert ring.pick("x", 400.0) is None


def test_a_key_kept_meanwhile_is_found(tmp_path: Path) -> None:
    """`oxios models key set` helps a running kernel; an unknown provider is named."""
    ring = KeyRing({"x": OPENAI}, sources(tmp_path, {}), Cooldowns())
    assert [key.source for key in ring.keys("x")] == ["none"]
    Vault(tmp_path / "keys").add("x", "sk-1")
    assert [key.source for key in ring.keys("x")] == ["file#1"]
    with pytest.raises(NotFound, match="'y'"):
        ring.keys("y")


def test_the_file_keeps_keys_encrypted_and_private(tmp_path: Path) -> None:
    """No value stands in the folder, every file is 0600, and what was kept comes back in order."""
    vault = Vault(tmp_path / "keys")
    assert [vault.add("x", "sk-first"), vault.add("x", " sk-second\n"), vault.add("y", "sk-third")] == [1, 2, 1]
    assert vault.values("x") == ("sk-first", "sk-second")
    assert vault.counts() == {"x": 2, "y": 1}
    for path in (tmp_path / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"sk-" not in path.read_bytes()


def test_keys_are_removed_by_number_or_all(tmp_path: Path) -> None:
    """One of several, then the rest; what is not there is said."""
    vault = Vault(tmp_path / "keys")
    for value in ("a", "b", "c"):
        vault.add("x", value)
    assert vault.remove("x", 2) == 1
    assert vault.values("x") == ("a", "c")
    with pytest.raises(NotFound, match="key 3 of x"):
        vault.remove("x", 3)
    assert vault.remove("x") == 2
    with pytest.raises(NotFound, match="no key of x"):
        vault.remove("x")


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "kéy", "x" * 4097, "tab\tbed"])
def test_what_is_no_key_is_refused(tmp_path: Path, value: str) -> None:
    """Only what an HTTP header can carry is kept, and the value is not repeated."""
    with pytest.raises(Invalid, match="this is no key") as raised:
        Vault(tmp_path / "keys").add("x", value)
    assert not value.strip() or value not in raised.value.explain()


def test_a_key_is_kept_once_and_their_number_is_bounded(tmp_path: Path) -> None:
    """The same value twice, and one more than nine, are errors."""
    vault = Vault(tmp_path / "keys")
    for number in range(KEYS_PER_PROVIDER_MAX):
        vault.add("x", f"k{number}")
    with pytest.raises(Invalid, match="kept already"):
        vault.add("x", "k0")
    with pytest.raises(Invalid, match="9 keys already"):
        vault.add("x", "k9")


def _moved(folder: Path) -> None:
    kept = json.loads((folder / "providers.json").read_text())
    kept["keys"]["x"] = kept["keys"].pop("y")
    (folder / "providers.json").write_text(json.dumps(kept))


def _altered(folder: Path) -> None:
    kept = json.loads((folder / "providers.json").read_text())
    kept["keys"]["x"] = [kept["keys"]["x"][0][:-8] + "AAAAAAA="]
    (folder / "providers.json").write_text(json.dumps(kept))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "moved": (_moved, "altered or moved"),
    "altered": (_altered, "altered or moved"),
    "cut": (lambda folder: (folder / "providers.json").write_text("{"), "damaged"),
    "odd": (lambda folder: (folder / "providers.json").write_text("[1]"), "damaged"),
    "readable": (lambda folder: (folder / "providers.json").chmod(0o644), "open to other users"),
    "opener readable": (lambda folder: (folder / "providers.key").chmod(0o640), "open to other users"),
    "opener gone": (lambda folder: (folder / "providers.key").unlink(), "is missing"),
    "opener broken": (lambda folder: (folder / "providers.key").write_text("!"), "damaged"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_or_open_file_is_refused(tmp_path: Path, how: str) -> None:
    """A moved, altered, broken or readable file is never used, and the error says what to do."""
    spoil, said = SPOILT[how]
    vault = Vault(tmp_path / "keys")
    vault.add("x", "sk-x")
    vault.add("y", "sk-y")
    spoil(tmp_path / "keys")
    with pytest.raises(Invalid, match=said) as raised:
        vault.values("x")
    assert raised.value.remedy
