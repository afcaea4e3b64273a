"""`web_fetch`: one page of the web, as text.

Guarantees: connects only to the addresses that the gate pinned for the host, whatever DNS says now;
every redirect passes the gate's egress check again; no cookies, no proxy of the environment, no
credentials; bounded in size, time and redirects; nothing on the page is run.

What comes back is what a stranger wrote: data, never instruction. The header line says where it
came from.

Source: RFC-0004, RFC-0008.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import AccessDenied, DeadlinePassed, Invalid, LimitExceeded, Unavailable
from kernel.gate.decision import Denied
from kernel.gate.egress import Egress
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import UrlClaim, UrlTarget
from kernel.tools.html import readable
from kernel.tools.text import SHOWN_BYTES_MAX, binary_kind, clip_bytes, sized, whole

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.abc import AbstractResolver

REDIRECTS_MAX: Final = 5
PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_S: Final = 60.0
_CONNECT_S: Final = 15.0
_PIECE_BYTES: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "User-Agent": "oxios (an agent fetching one page for a person)",
    "Accept": "text/html, text/plain, application/json;q=0.9, */*;q=0.5",
}
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s{0,4}=\s{0,4}[\"']?([A-Za-z0-9_-]{2,40})", re.IGNORECASE)
_HEADER_BYTES: Final = 512


class WebFetchArgs(Args):
    url: str = Field(max_length=8_192, description="http or https address.")
    offset: int = Field(default=0, ge=0, description="Characters of the text to skip, to read on.")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A final answer, redirects followed."""

    url: str
    status: int
    content_type: str
    charset: str
    body: bytes
    cut: bool


@syscall(
    "web_fetch",
    WebFetchArgs,
    claims=lambda a: (UrlClaim(a.url),),
    reaches=(("net", Rights.READ),),
    effect=Effect.EXTERNAL,
    approval="on_demand",
    deadline_s=FETCH_S + 10,
)
async def web_fetch(call: Call, args: WebFetchArgs) -> ToolResult:
    """Fetch a web page and return its text (links kept). Not for downloads."""
    fetched = await fetch(call, call.url(args.url))
    title, text = await anyio.to_thread.run_sync(page_text, fetched)
    shown = clip_bytes(text[args.offset :], SHOWN_BYTES_MAX - _HEADER_BYTES)
    if args.offset and not shown:
        raise Invalid(f"the text has {len(text)} characters", remedy="choose a smaller offset")
    head = f"{fetched.url[:300]} ({fetched.status}, {fetched.content_type or 'no type'}) {title[:150]}".rstrip()
    notes: list[str] = []
    if args.offset + len(shown) < len(text):
        ends = args.offset + len(shown)
        notes.append(f"characters {args.offset} to {ends} of {len(text)}; go on with offset={ends}")
    if fetched.cut:
        notes.append(f"the page is longer than {PAGE_BYTES_MAX} bytes and was cut")
    data = {"url": fetched.url, "status": fetched.status, "bytes": len(fetched.body), "title": title[:300]}
    tail = "".join(f"\n[{note}]" for note in notes)
    return ToolResult(f"{head}\n\n{shown}{tail}", data, is_error=fetched.status >= 400)  # noqa: PLR2004 -- HTTP's own bound


async def fetch(call: Call, target: UrlTarget) -> Fetched:
    """Raises: AccessDenied (a redirect that may not be followed), Unavailable, DeadlinePassed, LimitExceeded."""
    try:
        with anyio.fail_after(FETCH_S):
            for _ in range(REDIRECTS_MAX + 1):
                answer = await _one_hop(target)
                if isinstance(answer, Fetched):
                    return answer
                call.progress(f"redirected to {answer[:200]}")
                target = await _next_hop(call, answer, target)
    except TimeoutError as error:
        raise DeadlinePassed(f"{target.host} did not answer in {FETCH_S:.0f} s", remedy="try later") from error
    raise LimitExceeded(f"more than {REDIRECTS_MAX} redirects", remedy="fetch the final address itself")


async def _next_hop(call: Call, location: str, came_from: UrlTarget) -> UrlTarget:
    found = await call.services.get(Egress).recheck(location, call.principal, came_from)
    if isinstance(found, Denied):
        raise AccessDenied(found.reason, layer=found.layer, need=found.need, remedy=found.remedy)
    return found


async def _one_hop(target: UrlTarget) -> Fetched | str:
    """One request; the Location where the answer is a redirect."""
    import aiohttp  # noqa: PLC0415 -- 60 ms that a run without the web does not spend
    from yarl import URL  # noqa: PLC0415 -- comes with aiohttp

    connector = aiohttp.TCPConnector(resolver=_pinned(target), use_dns_cache=False, force_close=True)
    waits = aiohttp.ClientTimeout(total=FETCH_S, sock_connect=_CONNECT_S)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=waits, cookie_jar=aiohttp.DummyCookieJar(), headers=_HEADERS
            ) as session,
            session.get(URL(target.url, encoded=True), allow_redirects=False) as response,
        ):
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location:
                return whole(location)
            return await _read(response, target.url)
    except aiohttp.ClientError as error:
        raise Unavailable(
            f"{target.host} could not be fetched: {error or type(error).__name__}",
            remedy="check the address; the server may be down",
        ) from error


async def _read(response: ClientResponse, url: str) -> Fetched:
    body = bytearray()
    cut = False
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        body += piece
        if len(body) > PAGE_BYTES_MAX:
            cut = True
            break
    return Fetched(
        url, response.status, response.content_type or "", response.charset or "", bytes(body[:PAGE_BYTES_MAX]), cut
    )


def _pinned(target: UrlTarget) -> AbstractResolver:
    """A resolver that knows one host and gives the addresses the gate allowed."""
    from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: PLC0415 -- as above

    class Pinned(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            if host.lower().rstrip(".") != target.host.strip("[]"):
                raise OSError(f"{host} was not resolved by the gate")
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=int(socket.AI_NUMERICHOST),
                )
                for address in target.addresses
                if family in {socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET}
            ]

        async def close(self) -> None:
            """Nothing is held."""

    return Pinned()


def page_text(fetched: Fetched) -> tuple[str, str]:
    """Title and text of an answer; for what is not text, a sentence that says so."""
    kind = binary_kind(fetched.body)
    is_text = fetched.content_type.startswith("text/") or re.search(r"json|xml|javascript|yaml", fetched.content_type)
    if kind is not None or not (is_text or not fetched.content_type):
        what = kind or fetched.content_type
        return "", f"This is {what}, {sized(len(fetched.body))}: not shown as text."
    text = _decoded(fetched)
    if "html" in fetched.content_type or text[:1000].lstrip().lower().startswith(("<!doctype html", "<html")):
        page = readable(text, fetched.url)
        return page.title, page.text
    return "", text


def _decoded(fetched: Fetched) -> str:
    declared = _META_CHARSET.search(fetched.body[:2048])
    for charset in (fetched.charset, declared[1].decode("ascii") if declared else "", "utf-8"):
        try:
            text = fetched.body.decode(charset or "utf-8")
        except (LookupError, UnicodeError):
            continue
        return whole(text)  # some codecs, and a server may name any, make half a surrogate pair
    return fetched.body.decode("utf-8", errors="replace")
