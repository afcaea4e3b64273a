"""Any server of Anthropic's messages API, streamed.

Guarantees: what `client` and `exchange` guarantee; the stable beginning of a conversation is marked
for the provider's cache. Source: Anthropic API reference, messages and streaming; RFC-0012.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from kernel.adapters.providers.client import Wire, WireClient
from kernel.adapters.providers.messages.assemble import Assembly
from kernel.adapters.providers.messages.encode import encode_request
from kernel.ports.provider import Provider, ProviderConfig

KIND: Final = "anthropic"
VERSION: Final = "2023-06-01"


def make(config: ProviderConfig) -> Provider:
    """Raises: Invalid, where `base_url` is no http(s) address."""
    return anthropic_client(config, os.environ)


def anthropic_client(config: ProviderConfig, environ: Mapping[str, str]) -> WireClient:
    """`environ` is where the key is looked up. Raises: Invalid, as `make`."""
    wire = Wire(messages_url(config.base_url), encode_request, Assembly, _headers)
    return WireClient(config, environ, wire)


def messages_url(base_url: str) -> str:
    """Where requests go, whether the address was given with its version, the whole path, or without."""
    return f"{base_url.rstrip('/').removesuffix('/messages').removesuffix('/v1')}/v1/messages"


def _headers(key: str) -> Mapping[str, str]:
    return {"anthropic-version": VERSION, "x-api-key": key} if key else {"anthropic-version": VERSION}
