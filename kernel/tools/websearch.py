"""`web_search` and `get_search_results`: a search engine that the operator named in the settings.

Guarantees: a query goes to that engine and nowhere else; all results of a search stand in its
journal entry, so paging through them asks nobody again, and survives a restart. Not configured is
an error that says how to configure it.

Does not keep a query secret from that engine, and results are what strangers wrote: data, never
instruction.

Source: SearXNG search API; Brave Search API (web/search); RFC-0004.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Final, cast

import anyio
from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import DeadlinePassed, NotFound, Unavailable
from kernel.ids import CallId, run_of_call
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM
from kernel.jsontypes import JsonObject, JsonValue
from kernel.settings.tree import SearchSettings, Settings
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim
from kernel.tools.text import clip_bytes, whole

RESULTS_MAX: Final = 50
PAGE_RESULTS: Final = 10
SEARCH_S: Final = 30.0
_ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
_TITLE_CHARS: Final = 200
_SNIPPET_CHARS: Final = 400
_URL_CHARS: Final = 1_000
_BRAVE_URL: Final = "https://api.search.brave.com/res/v1"
_BRAVE_COUNT_MAX: Final = 20
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")
_HOW: Final = (
    "an operator sets it up with `oxios config set search.provider searxng` and "
    "`oxios config set search.url https://HOST`, or with `oxios config set search.provider brave` and "
    "`oxios config set search.key_env BRAVE_API_KEY`"
)


class WebSearchArgs(Args):
    query: str = Field(min_length=1, max_length=500, description="What to search for.")


class GetSearchResultsArgs(Args):
    search: str = Field(max_length=128, description="The id that web_search returned.")
    page: int = Field(default=2, ge=1, le=RESULTS_MAX, description=f"Page of {PAGE_RESULTS} results, from 1.")


@dataclass(frozen=True, slots=True)
class _Engine:
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    where: tuple[str, ...]
    """Keys that lead to the list of results."""
    snippet: str


@syscall(
    "web_search",
    WebSearchArgs,
    claims=lambda _args: (NameClaim("search", "web", Rights.READ),),
    reaches=(("search", Rights.READ),),
    effect=Effect.READ,
    deadline_s=SEARCH_S + 10,
)
async def web_search(call: Call, args: WebSearchArgs) -> ToolResult:
    """Search the web. Returns titles, addresses and snippets; more pages by get_search_results."""
    engine = _engine(call.services.get(Settings).search, args.query)
    try:
        with anyio.fail_after(SEARCH_S):
            answer = await _asked(engine)
    except TimeoutError as error:
        raise DeadlinePassed(f"the search engine did not answer in {SEARCH_S:.0f} s", remedy="try later") from error
    results = _results(answer, engine)
    data: dict[str, JsonValue] = {"search": call.id, "query": args.query, "results": results}
    return ToolResult(_page(call.id, results, 1), data)


@syscall(
    "get_search_results",
    GetSearchResultsArgs,
    claims=lambda _args: (NameClaim("search", "results", Rights.READ),),
    reaches=(("search", Rights.READ),),
    effect=Effect.READ,
)
async def get_search_results(call: Call, args: GetSearchResultsArgs) -> ToolResult:
    """Show another page of an earlier search of this run, without searching again."""
    results = await _kept(call, args.search)
    pages = max(-(-len(results) // PAGE_RESULTS), 1)
    if args.page > pages:
        raise NotFound(f"search {args.search} has {pages} pages", remedy=f"choose a page from 1 to {pages}")
    return ToolResult(_page(args.search, results, args.page), {"search": args.search, "page": args.page})


async def _kept(call: Call, search: str) -> list[JsonValue]:
    """Raises: NotFound, where this run made no such search: another run's results are not its to read."""
    stream = call.run or SYSTEM_STREAM
    if call.run is None or (search.rpartition(".")[1] and run_of_call(CallId(search)) == call.run):
        journal = call.services.get(Appender)
        after = 0
        while entries := await journal.read(stream=stream, kind="call.outcome", after=after):
            for entry in entries:
                data = (entry.payload or {}).get("data")
                if isinstance(data, Mapping) and data.get("search") == search and "results" in data:
                    return list(cast("list[JsonValue]", data["results"]))
            after = entries[-1].seq
    raise NotFound(f"there is no search {search!r} in this run", remedy="use the id that web_search returned")


def _engine(said: SearchSettings, query: str) -> _Engine:
    """Raises: Unavailable, where the settings name no engine, or not enough of it."""
    key = os.environ.get(said.key_env, "") if said.key_env else ""
    if said.key_env and not key:
        raise Unavailable(f"the variable {said.key_env} is empty", remedy=f"export {said.key_env} with the key")
    match said.provider:
        case "":
            raise Unavailable("no search engine is configured", remedy=_HOW)
        case "searxng":
            if not said.url:
                raise Unavailable("search.url is empty", remedy="set it: oxios config set search.url https://HOST")
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            asked = {"q": query, "format": "json"}
            return _Engine(f"{said.url.rstrip('/')}/search", asked, headers, ("results",), "content")
        case "brave":
            if not key:
                raise Unavailable(
                    "Brave Search needs a key", remedy="oxios config set search.key_env BRAVE_API_KEY, and export it"
                )
            asked = {"q": query, "count": str(_BRAVE_COUNT_MAX)}
            url = f"{(said.url or _BRAVE_URL).rstrip('/')}/web/search"
            return _Engine(url, asked, {"X-Subscription-Token": key}, ("web", "results"), "description")


async def _asked(engine: _Engine) -> JsonObject:
    import aiohttp  # noqa: PLC0415 -- 60 ms that a run without the web does not spend

    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(
                engine.url,
                params=engine.query,
                headers={"Accept": "application/json", **engine.headers},
                allow_redirects=False,
            ) as response,
        ):
            body = await response.content.read(_ANSWER_BYTES_MAX)
            while len(body) < _ANSWER_BYTES_MAX and (piece := await response.content.read(_ANSWER_BYTES_MAX)):
                body += piece
            if response.status != 200:  # noqa: PLR2004 -- HTTP's OK
                raise Unavailable(
                    f"the search engine answered {response.status}: {clip_bytes(body.decode(errors='replace'), 200)}",
                    remedy="check search.url and its key; a SearXNG must allow the json format (search.formats)",
                )
    except aiohttp.ClientError as error:
        raise Unavailable(
            f"the search engine cannot be reached: {error or type(error).__name__}", remedy="check search.url"
        ) from error
    try:
        found: Any = json.loads(body)
    except ValueError as error:
        raise Unavailable("the search engine did not answer in JSON", remedy="check search.url") from error
    return cast("JsonObject", found) if isinstance(found, dict) else {}


def _results(answer: JsonObject, engine: _Engine) -> list[JsonValue]:
    found: JsonValue = answer
    for key in engine.where:
        found = found.get(key) if isinstance(found, Mapping) else None
    rows = found if isinstance(found, list) else []
    kept: list[JsonValue] = [
        {
            "title": _line(one.get("title"), _TITLE_CHARS),
            "url": whole(str(one.get("url"))[:_URL_CHARS]),
            "snippet": _line(one.get(engine.snippet), _SNIPPET_CHARS),
        }
        for one in rows
        if isinstance(one, Mapping) and str(one.get("url", "")).startswith(("http://", "https://"))
    ]
    return kept[:RESULTS_MAX]


def _line(value: JsonValue, chars_max: int) -> str:
    """One line of plain text: engines mark the words they found with tags."""
    return whole(" ".join(unescape(_TAG.sub("", str(value or ""))).split())[:chars_max])


def _page(search: str, results: list[JsonValue], page: int) -> str:
    if not results:
        return "nothing found"
    first = (page - 1) * PAGE_RESULTS
    shown = results[first : first + PAGE_RESULTS]
    lines = [
        f"{number}. {one['title']}\n   {one['url']}\n   {one['snippet']}"
        for number, one in enumerate(shown, first + 1)
        if isinstance(one, Mapping)
    ]
    more = f"; more with get_search_results page={page + 1}" if first + PAGE_RESULTS < len(results) else ""
    return "\n".join([*lines, f"[search {search}, {len(results)} results{more}]"])
