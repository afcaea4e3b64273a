"""Fixtures for every suite."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: aiohttp is an asyncio library."""
    return "asyncio"
