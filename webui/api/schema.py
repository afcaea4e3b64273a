"""`GET /api/schema/openapi.json`: the API's description of itself, for who signed in. There is no page of it."""

from __future__ import annotations

import json
from typing import Any

from litestar import Request
from litestar.response.base import ASGIResponse

from webui.desk import Desk
from webui.rest.document import document_of, operations_of
from webui.rest.operation import operation


@operation("GET", "/api/schema/openapi.json", "system_schema")
async def schema(desk: Desk, request: Request[Any, Any, Any]) -> ASGIResponse:
    """This document."""
    document = document_of(operations_of(request.app), desk.house.doors.cookie)
    return ASGIResponse(body=json.dumps(document, ensure_ascii=False).encode(), media_type="application/json")


ROUTES = [schema]
