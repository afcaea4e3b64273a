"""Trying a provider before it is written: the models that it lists, and a few tokens of one.

Guarantees: keys are found as a run finds them, in the same order and from the same places; where one is
refused the next is tried, as the engine would. No key is shown: where it came from is.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from kernel.boot import make_providers, offered_models, provider_config
from kernel.engine.failures import classify
from kernel.engine.sources import Key, sources_of
from kernel.errors import Invalid, OxiosError
from kernel.ports.provider import Message, ModelRequest
from kernel.settings import Settings

CHECK_TOKENS: Final = 16
"""Enough for every provider's own minimum."""
CHECK_S: Final = 60.0

T = TypeVar("T")


async def check(settings: Settings, name: str, model: str) -> str:
    """Ask for a few tokens; which key it was answered with. Raises: OxiosError, saying that nothing was written."""
    provider = make_providers(settings)[name]

    async def ask(key: Key) -> str:
        talk = (Message("user", "Say ok."),)
        request = ModelRequest(model, talk, output_tokens_max=CHECK_TOKENS, deadline_s=CHECK_S, key=key.value)
        async for _ in provider.stream(request):
            pass
        return f", with the key {key.source}" if key.value else ""

    try:
        return await _with_a_key(keys_of(settings, name), ask)
    except OxiosError as error:
        error.message = f"{error.message}; nothing was written"
        error.remedy = f"{error.remedy}, or write it untried with --no-check" if error.remedy else "give --no-check"
        raise
    finally:
        await provider.aclose()


async def offered(settings: Settings, name: str) -> Sequence[str]:
    """The models that it lists; none where it lists none. Raises: OxiosError, where it cannot be asked."""
    if settings.providers[name].kind == "vendor":
        return ()
    return await _with_a_key(keys_of(settings, name), lambda key: offered_models(settings, name, key.value))


def keys_of(settings: Settings, name: str) -> Sequence[Key]:
    """Those that a run would use, one without a value where none is wanted. Raises: Invalid, where one is missing."""
    provider = settings.providers[name]
    found = sources_of(settings, os.environ).find(name, provider)
    maker = provider_config(name, provider).key_env
    if any(key.value for key in found.keys) or not (found.missing or maker):
        return found.keys
    variable = found.missing[0] if found.missing else maker
    raise Invalid(
        f"the environment variable {variable} is empty, so {name} has no key",
        remedy=f"export {variable} with the key, name another with --key-env",
    )


async def _with_a_key(keys: Sequence[Key], ask: Callable[[Key], Awaitable[T]]) -> T:
    """The answer to the first key that is not refused. Raises: what the last one met."""
    for key in keys[:-1]:
        try:
            return await ask(key)
        except OxiosError as error:
            if not classify(error).rule.other_key:
                raise
    return await ask(keys[-1])
