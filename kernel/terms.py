"""Words as an index keeps them, and as a person looks for them: the same on every database.

Guarantees: a text and a question give terms by the same rules, so what is found does not depend on
who keeps the index. Case, width and accents make no difference. Scripts that are written without
spaces give each pair of neighbouring characters, so any part of a sentence is found.
Does not know languages: no stems, no stop words.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

TERM_CHARS_MAX: Final = 40
TERMS_MAX: Final = 4_000
"""Of one text; later words of a longer one are not found."""
ASKED_TERMS_MAX: Final = 16

_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_WORD: Final = re.compile(r"[^\W_]+")
# Thai, Lao, Myanmar, Khmer, kana, Han with its extensions: written without spaces between words.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def folded(text: str) -> str:
    """The form in which two spellings of one word are equal."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", plain)).casefold()


def terms_of(text: str) -> tuple[str, ...]:
    """The terms under which a text is found, each once, in the order they first stand in it."""
    found: dict[str, None] = {}
    for word in _WORD.findall(folded(text)):
        for part, unspaced in _parts(word):
            found.update(dict.fromkeys([*_pairs(part), part[-1]] if unspaced else [part[:TERM_CHARS_MAX]]))
        if len(found) >= TERMS_MAX:
            break
    return tuple(found)[:TERMS_MAX]


def asked_terms(text: str) -> tuple[str, ...]:
    """What a text must have for this question to find it: each a beginning of one of its terms."""
    found: dict[str, None] = {}
    for word in _WORD.findall(folded(text)):
        for part, unspaced in _parts(word):
            pairs = _pairs(part) if unspaced else []
            found.update(dict.fromkeys(pairs or [part[:TERM_CHARS_MAX]]))
    return tuple(found)[:ASKED_TERMS_MAX]


def whose(principal: str) -> str:
    """A term that stands for whose a text is. It begins with a sign that no word has."""
    return f"\ue000{hashlib.blake2b(principal.encode(), digest_size=10).hexdigest()}"


def _parts(word: str) -> Iterator[tuple[str, bool]]:
    """The word in pieces, those of scripts without spaces apart."""
    end = 0
    for match in _UNSPACED.finditer(word):
        if match.start() > end:
            yield word[end : match.start()], False
        yield match.group(), True
        end = match.end()
    if end < len(word):
        yield word[end:], False


def _pairs(text: str) -> list[str]:
    return [text[place : place + 2] for place in range(len(text) - 1)]
