"""Secrets taken out of text before a model, the journal's text or a log sees it.

Guarantees: the values of this process's own secret-like environment variables never pass, nor do
key formats that can be told by their form (OpenAI, GitHub, AWS, Slack, Google, JWT …), private key
blocks, bearer tokens, passwords in URLs, and random-looking values after a word such as `password`
or `api_key`. Hashes, UUIDs, paths and base64 without such a word pass unchanged.

Does not protect against a secret that is split, encoded or short, or that looks like a word; nor
does it touch files, blobs of pre-images, or arguments that the model itself wrote. The sandbox and
the gate keep secrets away; this catches what slips through by accident.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

_VALUE_CHARS_MIN: Final = 8
_BITS_MIN: Final = 2.8
"""Shannon bits per character; English words have about 2.5 at this length, random keys over 3."""

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:$|_)", re.IGNORECASE
)
_NOT_SECRET_NAME: Final = re.compile(r"(?:_FILE|_PATH|_ENV|_ID|_URL|_NAME)$|^(?:SSH_AUTH|GPG_)", re.IGNORECASE)

_FORMS: Final = re.compile(
    r"(?P<private_key>-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
    r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z))"
    r"|(?<![A-Za-z0-9_-])(?:"
    r"(?P<api_key>sk-[A-Za-z0-9_-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{35})"
    r"|(?P<github_token>gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,})"
    r"|(?P<aws_key>A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9]))"
    r"|(?P<slack_token>xox[abeoprs]-[A-Za-z0-9-]{10,})"
    r"|(?P<package_token>npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|hf_[A-Za-z0-9]{30,})"
    r"|(?P<mail_key>SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{40,46})"
    r"|(?P<jwt>eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"
    r")"
)
_FORM_HINTS: Final = (
    *("PRIVATE KEY", "sk-", "k_live_", "k_test_", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("glpat-", "AKIA", "ASIA", "xox", "npm_", "pypi-", "hf_", "SG.", "eyJ"),
)
_URL_PASSWORD: Final = re.compile(
    r"(?P<head>[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]{0,128}:)(?P<value>[^\s/@'\"]{1,256})(?=@)"
)
_HEADER: Final = re.compile(
    r"(?P<head>(?:\bbearer|\bauthorization[\"']?\s{0,4}:\s{0,4}[\"']?(?:basic|token))\s{1,4})(?P<value>[A-Za-z0-9+/._~=-]{16,})",
    re.IGNORECASE,
)
# Matched against the lower-cased text: without IGNORECASE the scan is six times faster.
_ASSIGNED: Final = re.compile(
    r"(?:(?:api|access|secret|private|auth|account|signing|encryption)[_-]?key(?:[_-]?id)?|secret|token|passwd|"
    r"password|pwd|credentials?)[\"']?\s{0,8}(?:=>|:=|[:=])\s{0,8}[\"']?"
    r"(?P<value>[^\s\"',;<>(){}\[\]$`]{8,512})(?P<tail>.?)"
)
_ASSIGNED_HINTS: Final = ("key", "token", "secret", "passw", "pwd", "credential")
_PLACEHOLDER: Final = re.compile(
    r"(?:x{4,}|\*{3,}|\.{3}|your|example|changeme|redacted|placeholder|dummy|test[_-]?key)", re.IGNORECASE
)
_CODE_NAME: Final = re.compile(r"[A-Za-z_]+(?:[._:/-][A-Za-z_]+)*:?")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def secret_values(environ: Mapping[str, str], names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The values worth hiding: of variables named like secrets, and of `names`; longest first."""
    found = {
        value
        for name, value in environ.items()
        if name in names or (_SECRET_NAME.search(name) and not _NOT_SECRET_NAME.search(name))
    }
    # A short value ("1", "true") would redact ordinary text all over.
    return tuple(sorted((value for value in found if len(value) >= _VALUE_CHARS_MIN), key=len, reverse=True))


class Scrubber:
    """Replaces secrets by `[redacted: KIND]`. Immutable but for `learn`."""

    def __init__(self, values: tuple[str, ...] = ()) -> None:
        self._values = values

    def learn(self, values: tuple[str, ...]) -> None:
        """Hide these values too, e.g. of the environment variables that the settings name as keys."""
        known = {*self._values, *(value for value in values if len(value) >= _VALUE_CHARS_MIN)}
        self._values = tuple(sorted(known, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """The text without secrets; the same object where there were none."""
        for value in self._values:
            if value in text:
                text = text.replace(value, "[redacted: configured key]")
        if any(hint in text for hint in _FORM_HINTS):
            text = _FORMS.sub(_form, text)
        if "://" in text and "@" in text:
            text = _URL_PASSWORD.sub(r"\g<head>[redacted: password]", text)
        lower = text.lower()
        if "bearer" in lower or "authorization" in lower:
            text = _HEADER.sub(_header, text)
        if any(hint in lower for hint in _ASSIGNED_HINTS):
            text = _without_assigned(text)
        return text


_own: Final = Scrubber(secret_values(os.environ))
_NAMES_MAX: Final = 256


def scrub(text: str) -> str:
    """What this process scrubs everything with: its own environment's secrets, and the known forms."""
    return _own.scrub(text)


def learn_names(names: tuple[str, ...]) -> None:
    """The settings name these environment variables as keys: hide their values, whatever they are called."""
    _own.learn(tuple(os.environ[name] for name in names[:_NAMES_MAX] if name in os.environ))


def learn_values(values: tuple[str, ...]) -> None:
    """Hide these values: keys that come from no environment variable, but from the home or a keyring."""
    _own.learn(values)


def _form(match: re.Match[str]) -> str:
    return f"[redacted: {(match.lastgroup or 'secret').replace('_', ' ')}]"


def _header(match: re.Match[str]) -> str:
    value = match["value"]
    if not any(character.isdigit() for character in value) or _PLACEHOLDER.search(value):
        return match[0]
    return f"{match['head']}[redacted: token]"


def _without_assigned(text: str) -> str:
    lower = text.lower()
    if len(lower) != len(text):
        lower = text  # A few letters grow in lower case; then only lower-case words are recognised.
    kept: list[str] = []
    done = 0
    for match in _ASSIGNED.finditer(lower):
        first, last = match.span("value")
        if match["tail"] not in {"(", "[", "{", "$"} and looks_random(text[first:last]):
            kept += (text[done:first], "[redacted: value]")
            done = last
    return "".join((*kept, text[done:])) if kept else text


def looks_random(value: str) -> bool:
    """Whether a value after a word such as `password` is a secret rather than a name, path or placeholder."""
    if value.startswith("[redacted") or _PLACEHOLDER.search(value) or _CODE_NAME.fullmatch(value):
        return False
    if _UUID.fullmatch(value) or value.startswith(("/", "./", "~/", "http://", "https://")):
        return False
    if not any(c.isdigit() for c in value) and value.isalpha():
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= min(_BITS_MIN, math.log2(len(value)) * 0.8)
