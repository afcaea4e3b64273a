"""A backend of the library `keyring` that keeps its passwords in a file, for programs run by tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    """Kept in the file that KEYRING_FILE names; chosen by PYTHON_KEYRING_BACKEND."""

    priority = 1.0  # pyright: ignore[reportAssignmentType, reportIncompatibleUnannotatedOverride] -- the library declares a property

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._keep({**self._kept(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._keep({name: value for name, value in self._kept().items() if name != f"{service}/{username}"})

    def _kept(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(_file().read_text()) if _file().exists() else {}
        return kept

    def _keep(self, kept: dict[str, str]) -> None:
        _file().write_text(json.dumps(kept))


def _file() -> Path:
    return Path(os.environ["KEYRING_FILE"])
