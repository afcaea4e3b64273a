"""The system's keyring, an extra: keys of providers under the service `oxios`.

Guarantees: without the library, or without a keyring that works, nothing is found and storing is a
clear error. Not looked at unless the settings want it: a keyring may ask a person to unlock it.
"""

from __future__ import annotations

from typing import Final

from kernel.errors import NotFound, Unavailable

SERVICE: Final = "oxios"
_REMEDY: Final = "install `oxios[keyring]` and unlock a keyring, or leave out --keyring: the home keeps keys too"


def lookup(provider: str) -> str | None:
    """The provider's key; None where there is none, or no keyring."""
    try:
        import keyring  # noqa: PLC0415 -- an extra
        from keyring.errors import KeyringError  # noqa: PLC0415 -- as above
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, provider)
    except KeyringError:
        return None


def store(provider: str, value: str) -> None:
    """Raises: Unavailable, where there is no keyring that works."""
    try:
        import keyring  # noqa: PLC0415 -- an extra
        from keyring.errors import KeyringError  # noqa: PLC0415 -- as above
    except ImportError as error:
        raise Unavailable("the library keyring is not installed", remedy=_REMEDY) from error
    try:
        keyring.set_password(SERVICE, provider, value)
    except KeyringError as error:
        raise Unavailable(f"the system's keyring refused: {error}", remedy=_REMEDY) from error


def remove(provider: str) -> None:
    """Raises: NotFound, Unavailable."""
    if lookup(provider) is None:
        raise NotFound(f"the system's keyring has no key of {provider}", remedy="see `oxios models key list`")
    import keyring  # noqa: PLC0415 -- an extra, and it was there a moment ago
    from keyring.errors import KeyringError  # noqa: PLC0415 -- as above

    try:
        keyring.delete_password(SERVICE, provider)
    except KeyringError as error:
        raise Unavailable(f"the system's keyring refused: {error}", remedy=_REMEDY) from error
