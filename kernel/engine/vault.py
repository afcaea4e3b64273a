"""Keys of providers in the home: one encrypted file, and beside it the key that opens it.

Guarantees: both files are 0600 in a folder of 0700, and are refused where others may read them; a
value is bound to its provider's name, so moving it to another one is seen; a write replaces the
whole file or nothing, and two writers do not lose each other's keys.
Does not protect against whoever can read the home: both files lie there. It keeps keys out of
shells' histories, environments, backups of single files, and out of a search for their form.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from kernel.errors import Invalid, NotFound

FILE: Final = "providers.json"
OPENER: Final = "providers.key"
KEYS_PER_PROVIDER_MAX: Final = 9
KEY_CHARS_MAX: Final = 4096
_NONCE: Final = 12
_KEY_BYTES: Final = 32
_LOCK: Final = ".providers.lock"
_FOREIGN: Final = 0o077


class Vault:
    """The encrypted file in `folder`, the home's `keys`. Nothing is made before the first `add`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = os.fspath(folder / FILE)

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes whenever a key is added or removed; (0, 0) where there is no file."""
        try:
            found = os.stat(self._file)  # noqa: PTH116 -- at every request; pathlib's takes three times as long
        except OSError:
            return (0, 0)
        return found.st_mtime_ns, found.st_size

    def values(self, provider: str) -> tuple[str, ...]:
        """The provider's keys, oldest first. Raises: Invalid, where a file is damaged or open to others."""
        return tuple(self._open(provider, sealed) for sealed in self._read().get(provider, ()))

    def counts(self) -> Mapping[str, int]:
        """How many keys each provider has; no value is opened. Raises: Invalid."""
        return {provider: len(sealed) for provider, sealed in self._read().items()}

    def add(self, provider: str, value: str) -> int:
        """Keep one more key; its number, from 1. Raises: Invalid."""
        value = checked(value)
        with self._locked():
            kept = self._read()
            have = kept.get(provider, [])
            if value in (self._open(provider, sealed) for sealed in have):
                raise Invalid(f"this key of {provider} is kept already", remedy="see `oxios models key list`")
            if len(have) >= KEYS_PER_PROVIDER_MAX:
                raise Invalid(
                    f"{provider} has {KEYS_PER_PROVIDER_MAX} keys already", remedy="remove one with `oxios models key`"
                )
            kept[provider] = [*have, self._seal(provider, value)]
            self._write(kept)
            return len(kept[provider])

    def remove(self, provider: str, number: int | None = None) -> int:
        """Forget one key, or all; how many were forgotten. Raises: NotFound, Invalid."""
        with self._locked():
            kept = self._read()
            have = kept.pop(provider, [])
            if not have or (number is not None and not 1 <= number <= len(have)):
                which = f"key {number} of {provider}" if have else f"key of {provider}"
                raise NotFound(f"there is no {which} in the home", remedy="see `oxios models key list`")
            left = [] if number is None else [one for at, one in enumerate(have, 1) if at != number]
            if left:
                kept[provider] = left
            self._write(kept)
            return len(have) - len(left)

    def _read(self) -> dict[str, list[str]]:
        path = self._folder / FILE
        if not path.exists():
            return {}
        _require_private(path)
        try:
            raw: object = json.loads(path.read_text())
            kept = cast("dict[str, Any]", raw)["keys"]
            return {str(name): [str(one) for one in sealed] for name, sealed in kept.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Invalid(f"{path} is damaged", remedy="remove it and set the keys again") from error

    def _open(self, provider: str, sealed: str) -> str:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- for homes that keep keys only

        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher().decrypt(raw[:_NONCE], raw[_NONCE:], provider.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Invalid(
                f"a key of {provider} in {self._folder / FILE} cannot be opened: it was altered or moved",
                remedy=f"`oxios models key remove {provider}`, and set it again",
            ) from error

    def _seal(self, provider: str, value: str) -> str:
        nonce = secrets.token_bytes(_NONCE)
        return base64.b64encode(nonce + self._cipher().encrypt(nonce, value.encode(), provider.encode())).decode()

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- as in _open

        path = self._folder / OPENER
        if not path.exists():
            if (self._folder / FILE).exists():
                raise Invalid(f"{path} is missing", remedy=f"restore it, or remove {self._folder / FILE}")
            _replace(path, base64.b64encode(secrets.token_bytes(_KEY_BYTES)))
        _require_private(path)
        try:
            return AESGCM(base64.b64decode(path.read_bytes(), validate=True))
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"{path} is damaged", remedy="restore it from a backup, or set the keys again") from error

    def _write(self, kept: Mapping[str, list[str]]) -> None:
        _replace(self._folder / FILE, json.dumps({"version": 1, "keys": kept}, indent=1).encode())

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def checked(value: str) -> str:
    """The key without the blanks around it. Raises: Invalid, where no HTTP header could carry it."""
    value = value.strip()
    if not value or len(value) > KEY_CHARS_MAX or not (value.isascii() and value.isprintable()):
        raise Invalid(
            f"this is no key: give 1 to {KEY_CHARS_MAX} printable ASCII characters",
            remedy="paste the key alone, as the provider shows it",
        )
    return value


def _require_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _FOREIGN:
        raise Invalid(
            f"{path} is open to other users (mode {mode:04o})",
            remedy=f"if no one else can have read it: chmod 600 {path}; else replace the keys at the provider",
        )


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
