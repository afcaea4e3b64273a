"""Where a provider's keys come from, in one order, and which of the sources wins.

Guarantees: explicit settings > the provider's own variable > the fallback variable > the system's
keyring > the encrypted file in the home; the first source that has any wins, with all it has. What
the settings name is never replaced by the fallback variable. A key is never looked for on behalf of
an address that did not earn it: a vendor's variable goes to that vendor's host alone, the fallback
to https or this machine alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from kernel.engine import keyring
from kernel.engine.vault import Vault
from kernel.settings import Settings
from kernel.settings.tree import ADDRESSES, ProviderSettings

FALLBACK: Final = "LLM_API_KEY"
PROFILES: Final = range(1, 10)
VENDOR_VARIABLES: Final = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.cerebras.ai": "CEREBRAS_API_KEY",
}
"""The variables that the vendors' own documents name."""

KeyringLookup = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Key:
    """One key. Everything shown of it is `source`; the value is for the request alone."""

    provider: str
    source: str
    """E.g. `env:OPENAI_API_KEY`, `keyring`, `file#1`; `none` for a provider that wants no key."""
    value: str = field(repr=False)
    id: str = field(init=False, repr=False)
    """Tells this very value from another one under the same name; shows nothing of it."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.value.encode()).hexdigest()[:12]
        object.__setattr__(self, "id", f"{self.provider}|{self.source}|{digest}")


@dataclass(frozen=True, slots=True)
class Found:
    """The keys of one provider, or what is `missing`: variables the settings name that are empty."""

    keys: tuple[Key, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked through. `keyring` is None where the settings do not want it."""

    environ: Mapping[str, str]
    vault: Vault
    keyring: KeyringLookup | None = None

    def find(self, name: str, settings: ProviderSettings) -> Found:
        """The keys of the provider; one without a value where it wants none. Raises: Invalid (the vault)."""
        if settings.kind == "embedded":
            return Found((no_key(name),))
        named = explicit(settings)
        keys = self._of(name, named) or ([] if named else self._own(name, settings))
        keys = keys or self._stored(name)
        if keys:
            return Found(_distinct(keys))
        return Found((), named) if named else Found((no_key(name),))

    def _own(self, name: str, settings: ProviderSettings) -> list[Key]:
        host, secure = _address(settings)
        own = [VENDOR_VARIABLES[host]] if host in VENDOR_VARIABLES else []
        own.append(f"{name.upper().replace('-', '_')}_API_KEY")
        return self._of(name, numbered(own)) or (self._of(name, numbered([FALLBACK])) if secure else [])

    def _of(self, name: str, variables: Sequence[str]) -> list[Key]:
        values = ((variable, self.environ.get(variable, "").strip()) for variable in variables)
        return [Key(name, f"env:{variable}", value) for variable, value in values if value]

    def _stored(self, name: str) -> list[Key]:
        if self.keyring is not None and (value := self.keyring(name)):
            return [Key(name, "keyring", value.strip())]
        return [Key(name, f"file#{number}", value) for number, value in enumerate(self.vault.values(name), 1)]


def sources_of(settings: Settings, environ: Mapping[str, str]) -> Sources:
    """Where these settings want keys to be looked for."""
    wanted = keyring.lookup if settings.routing.keyring else None
    return Sources(environ, Vault(settings.home / "keys"), wanted)


def explicit(settings: ProviderSettings) -> tuple[str, ...]:
    """The variables that the settings name, `key_env` first."""
    return tuple(dict.fromkeys(name for name in (settings.key_env, *settings.keys) if name))


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Each name, and its profiles NAME_1 … NAME_9."""
    return tuple(variable for name in names for variable in (name, *(f"{name}_{at}" for at in PROFILES)))


def variables_of(name: str, settings: ProviderSettings) -> tuple[str, ...]:
    """Every variable that may hold a key of this provider: their values are secrets."""
    host, _ = _address(settings)
    own = [VENDOR_VARIABLES[host]] if host in VENDOR_VARIABLES else []
    return (*explicit(settings), *numbered([*own, f"{name.upper().replace('-', '_')}_API_KEY", FALLBACK]))


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name alone: nothing is resolved."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _address(settings: ProviderSettings) -> tuple[str, bool]:
    """Host, and whether a key may go there unasked: over https, or without leaving this machine."""
    parts = urlsplit(settings.base_url or ADDRESSES.get(settings.kind, ""))
    host = parts.hostname or ""
    return host, parts.scheme == "https" or is_loopback(host)


def no_key(name: str) -> Key:
    return Key(name, "none", "")


def _distinct(keys: Sequence[Key]) -> tuple[Key, ...]:
    return tuple(_first_of_each(keys))


def _first_of_each(keys: Sequence[Key]) -> Iterator[Key]:
    seen: set[str] = set()
    for key in keys:
        if key.value not in seen:
            seen.add(key.value)
            yield key
