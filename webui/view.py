"""From a page's model to the answer.

Guarantees: a page asked for by htmx comes without the frame, a page opened by a browser with it; a browser that
takes gzip gets what is worth packing packed.
"""

from __future__ import annotations

import gzip
from typing import Any, Final

from litestar import MediaType, Response

from webui.desk import Desk

_PACKED_BYTES_MIN: Final = 2_048
_LEVEL: Final = 4
"""A long conversation packs to a tenth in a few milliseconds; more would save little."""


def page(desk: Desk, template: str, *, title: str, http_status: int = 200, **model: Any) -> Response[Any]:
    """A page, or only what is in its frame where htmx asked for that."""
    views = desk.house.views
    shown = [item for item in views.navigation if not item.needs or desk.may(item.needs, "r")]
    html = views.render(
        template,
        frame="bare.html" if desk.part else "page.html",
        desk=desk,
        user=desk.signed_in,
        csrf=desk.csrf,
        path=desk.path,
        navigation=shown,
        title=title,
        **model,
    )
    return _answer(desk, html, http_status)


def part(desk: Desk, template: str, **model: Any) -> Response[Any]:
    """A fragment that never has a frame."""
    html = desk.house.views.render(template, desk=desk, user=desk.signed_in, csrf=desk.csrf, path=desk.path, **model)
    return _answer(desk, html)


def _answer(desk: Desk, html: str, http_status: int = 200) -> Response[Any]:
    body, headers = html.encode(), {"Vary": "HX-Request, Accept-Encoding"}
    if desk.packs and len(body) >= _PACKED_BYTES_MIN:
        body, headers["Content-Encoding"] = gzip.compress(body, _LEVEL, mtime=0), "gzip"
    return Response(body, media_type=MediaType.HTML, status_code=http_status, headers=headers)
