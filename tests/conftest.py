"""Fixtures for every suite."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy makes no test fail: how long an example takes is not what any of them is about.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: aiohttp is an asyncio library."""
    return "asyncio"


def pytest_configure() -> None:
    """Programs that tests start inherit what is ignored, and a shell's `&` and `nohup` ignore what tests send."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
