"""From a page's model to the answer.

Guarantees: a page asked for by htmx comes without the frame, a page opened by a browser with it.
"""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Response

from webui.desk import Desk


def page(desk: Desk, template: str, *, title: str, http_status: int = 200, **model: Any) -> Response[str]:
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
    return Response(html, media_type=MediaType.HTML, status_code=http_status, headers={"Vary": "HX-Request"})


def part(desk: Desk, template: str, **model: Any) -> Response[str]:
    """A fragment that never has a frame."""
    html = desk.house.views.render(template, desk=desk, user=desk.signed_in, csrf=desk.csrf, path=desk.path, **model)
    return Response(html, media_type=MediaType.HTML)
