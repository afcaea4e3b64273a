"""Model servers that answer on this machine, and the models that a server offers.

Guarantees: only loopback is looked at, each place for `LOOK_S` at most, all at once; no key and no
cookie is sent there, no redirect is followed, no proxy is asked. What does not list models in the
form of OpenAI's API is not found.
Source: OpenAI and Anthropic API references, models; the servers' own default ports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from kernel.adapters.providers.anthropic import KIND as ANTHROPIC
from kernel.adapters.providers.anthropic import VERSION
from kernel.adapters.providers.client import key_of
from kernel.adapters.providers.network import faults, unreachable
from kernel.adapters.providers.proxy import proxy_of
from kernel.adapters.providers.refusal import Asked, refusal
from kernel.errors import ProviderDown
from kernel.ports.provider import Found, ProviderConfig

if TYPE_CHECKING:
    import aiohttp

PLACES: Final[Mapping[int, str]] = {11434: "ollama", 8000: "vllm", 8080: "llamacpp", 1234: "lmstudio"}
"""Where these servers listen unless told otherwise; the name is what a provider made of one is called."""
LOOK_S: Final = 1.0
LIST_BYTES_MAX: Final = 1024 * 1024
MODELS_MAX: Final = 1_000
_OK: Final = 200


async def local_servers(places: Mapping[int, str] = PLACES) -> list[Found]:
    """Those that answer, in the order of `places`. Raises: nothing: what does not answer is not there."""
    found: dict[int, Found] = {}

    async def look(session: aiohttp.ClientSession, port: int) -> None:
        url = f"http://127.0.0.1:{port}/v1"
        with anyio.move_on_after(LOOK_S):
            models = await _models(session, url, {})
            if models is not None:
                found[port] = Found(places[port], url, models)

    async with _session() as session, anyio.create_task_group() as group:
        for port in places:
            group.start_soon(look, session, port)
    return [found[port] for port in places if port in found]


async def offered_models(config: ProviderConfig, environ: Mapping[str, str], given: str | None = None) -> Sequence[str]:
    """The models that a configured provider lists for its key, or the one `given`; none where it lists none.

    Raises: KeyRefused and the other refusals; ProviderDown, where it does not answer.
    """
    key = key_of(config, environ, given)
    own = {"anthropic-version": VERSION, "x-api-key": key} if key else {"anthropic-version": VERSION}
    base = config.base_url.rstrip("/")
    if config.kind == ANTHROPIC:
        base, headers = f"{base.removesuffix('/v1')}/v1", own
    else:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
    asked = Asked(config.name, f"{base}/models", config.model, config.key_env, bool(key))
    try:
        with anyio.fail_after(config.waits.connect_s):
            async with _session() as session:
                return await _models(session, base, headers, asked, proxy_of(base, os.environ)) or ()
    except TimeoutError as error:
        said = f"{config.name} did not answer within {config.waits.connect_s:g} s"
        raise ProviderDown(said, remedy="check base_url and the network", kind="timeout") from error


async def _models(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    asked: Asked | None = None,
    proxy: str | None = None,
) -> tuple[str, ...] | None:
    """The ids of the list at `url`; None where there is no such list. With `asked`, failures are raised."""
    try:
        async with session.get(f"{url}/models", headers=headers, allow_redirects=False, proxy=proxy) as response:
            body = await response.content.read(LIST_BYTES_MAX)
            if response.status != _OK:
                if asked is not None:
                    raise refusal(asked, response.status, body, response.headers)
                return None
    except faults().lost as error:
        if asked is None:
            return None
        raise unreachable(asked.provider, url, error) from error
    return _ids(body)


def _ids(body: bytes) -> tuple[str, ...] | None:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    listed = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        return None
    entries = [cast("dict[str, Any]", one) for one in cast("list[object]", listed) if isinstance(one, dict)]
    ids = [entry.get("id") for entry in entries[:MODELS_MAX]]
    return tuple(one for one in ids if isinstance(one, str) and one and one.isprintable() and " " not in one)


def _session() -> aiohttp.ClientSession:
    import aiohttp  # noqa: PLC0415 -- 60 ms that a run without a network does not spend

    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), headers={"Accept": "application/json", "User-Agent": "oxios"}
    )
