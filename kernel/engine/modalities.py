"""What kinds of files models take in, told by their names.

The price catalog says only what is priced apart, which images mostly are not. So the well-known families
are listed here, as their makers described them in November 2026; `models."PROVIDER/NAME".modalities`
corrects a line or adds a model. Every model that holds a conversation takes text.
Does not guarantee that a server behind a compatible address takes what the model's maker does: its
own refusal is passed on.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from kernel.ports.provider import Attachment

Modality: TypeAlias = Literal["text", "image", "pdf", "audio"]

TEXTS: Final = frozenset({"application/json", "application/xml", "application/yaml", "application/toml"})
"""Types that are text, and are not called so."""

_Family: TypeAlias = tuple[str, tuple[Modality, ...]]

_FAMILIES: Final[tuple[_Family, ...]] = (
    (r".*(embed|tts|transcribe|moderation|realtime|whisper|dall-e|gpt-image)", ()),
    (r"gpt-(4o|5).*audio|gpt-audio", ("audio",)),
    (r"claude-(?!1|2|instant)", ("image", "pdf")),
    (r"(chatgpt-|gpt-)(4o|4\.1|4\.5|4-turbo|5)", ("image", "pdf")),
    (r"o1(?!-mini|-preview)|o3(?!-mini)|o4", ("image", "pdf")),
    (r"gemini-", ("image", "pdf", "audio")),
    (r"gemma-?3(?!.*1b)|grok-4|pixtral|mistral-medium-3|mistral-small-(3\.[12]|2503|2506)", ("image",)),
    (r"llama-?4|llama-?3\.2.*vision|qwen.*vl|llava|.*vision", ("image",)),
)


def modalities_of(name: str) -> tuple[Modality, ...]:
    """`name` as its provider has it, with a vendor before it or a tag after it, or without."""
    bare = name.lower().rpartition("/")[2]
    for part in (bare, bare.partition(":")[2]):
        for pattern, takes in _FAMILIES:
            if re.match(pattern, part):
                return ("text", *takes)
    return ("text",)


def modality_of(attachment: Attachment) -> Modality | None:
    """What a model must take to be shown it; None for what no wire format carries."""
    kind, _, _ = attachment.media_type.partition("/")
    if kind in {"image", "audio", "text"}:
        return kind  # pyright: ignore[reportReturnType] -- one of the words above
    if attachment.media_type == "application/pdf":
        return "pdf"
    return "text" if attachment.media_type in TEXTS else None
