"""Any OpenAI-compatible chat completions server, streamed.

Guarantees: what `client` and `exchange` guarantee. Source: OpenAI API reference, chat completions;
RFC-0012.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from kernel.adapters.providers.chat.assemble import Assembly
from kernel.adapters.providers.chat.encode import encode_request
from kernel.adapters.providers.client import Wire, WireClient
from kernel.ports.provider import ModelRequest, Provider, ProviderConfig

KIND: Final = "openai"
_PATH: Final = "/chat/completions"


def make(config: ProviderConfig) -> Provider:
    """Raises: Invalid, where `base_url` is no http(s) address."""
    return openai_client(config, os.environ)


def openai_client(config: ProviderConfig, environ: Mapping[str, str]) -> WireClient:
    """`environ` is where the key is looked up. Raises: Invalid, as `make`."""
    return WireClient(config, environ, wire_of(config.base_url))


def wire_of(base_url: str) -> Wire:
    host = urlsplit(base_url).hostname or "" if base_url.startswith("https://") else ""
    # OpenAI's own newer models, at Azure too, refuse the old name; the servers that imitate it know no other.
    own = host == "api.openai.com" or host.endswith((".openai.azure.com", ".services.ai.azure.com"))
    tokens_field = "max_completion_tokens" if own else "max_tokens"
    # Mistral refuses the field, and reports usage unasked.
    usage_asked = host != "api.mistral.ai"

    def encode(request: ModelRequest, model: str) -> Sequence[bytes]:
        return encode_request(request, model, tokens_field, usage_asked=usage_asked)

    return Wire(
        url=f"{base_url.rstrip('/').removesuffix(_PATH)}{_PATH}",
        encode=encode,
        assembly=Assembly,
        headers=lambda key: {"Authorization": f"Bearer {key}"} if key else {},
    )
