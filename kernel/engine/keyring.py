"""The system's keyring, an extra: keys of providers under the service `oxios`.

Guarantees: without the library, or without a keyring that works, nothing is found and storing is a
clear error. Not looked at unless the settings want it: a keyring may ask a person to unlock it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from kernel.errors import NotFound, Unavailable
from kernel.log import get_logger

SERVICE: Final = "oxios"
_REMEDY: Final = "install `oxios[keyring]` and unlock a keyring, or leave out --keyring: the home keeps keys too"
_log = get_logger("keyring")


def lookup(provider: str) -> str | None:
    """The provider's key; None where there is none, or no keyring that works: which is logged."""
    keyring = _library()
    if keyring is None:
        return None
    try:
        return keyring.get_password(SERVICE, provider)
    except Exception as error:  # noqa: BLE001 -- a backend is a plug-in, and raises whatever is wrong with it
        _log.warning("keyring_not_read", provider=provider, why=_said(error))
        return None


def store(provider: str, value: str) -> None:
    """Raises: Unavailable, where there is no keyring that works."""
    keyring = _library()
    if keyring is None:
        raise Unavailable("the library keyring is not installed", remedy=_REMEDY)
    try:
        keyring.set_password(SERVICE, provider, value)
    except Exception as error:
        raise _refused(error) from error


def remove(provider: str) -> None:
    """Raises: NotFound, Unavailable."""
    keyring = _library()
    if keyring is None or lookup(provider) is None:
        raise NotFound(f"the system's keyring has no key of {provider}", remedy="see `oxios models key list`")
    try:
        keyring.delete_password(SERVICE, provider)
    except Exception as error:
        raise _refused(error) from error


def _library() -> ModuleType | None:
    try:
        import keyring  # noqa: PLC0415 -- an extra
    except ImportError:
        return None
    return keyring


def _refused(error: Exception) -> Unavailable:
    return Unavailable(f"the system's keyring refused: {_said(error)}", remedy=_REMEDY)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
