"""What pages take: forms, and the name of a part; and where a form leads."""

from __future__ import annotations

from typing import Annotated

from litestar import MediaType, Response
from litestar.enums import RequestEncodingType
from litestar.params import Body, QueryParameter

Part = Annotated[str, QueryParameter(name="part")]
"""Which part of a page htmx asks for."""
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


def redirected(path: str) -> Response[str]:
    """Where a form leads: htmx and our scripts go there by this header."""
    return Response("", status_code=200, media_type=MediaType.HTML, headers={"HX-Redirect": path})
