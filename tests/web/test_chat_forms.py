"""The forms of a conversation's page, sent by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.directive import Mount
from ouroboros.sessionbook import Making, create
from tests.web.browser import open_site
from tests.web.page_world import post, signed_in
from tests.world import OWNER

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("number", ["²", "-1", "1.5", "9" * 5_000, "one"])
@pytest.mark.parametrize("act", ["fork", "rewind", "edit", "unqueue"])
async def test_what_is_no_number_is_refused(tmp_path: Path, act: str, number: str) -> None:
    """With what to write instead; the server has no error of its own for any of them."""
    async with open_site(tmp_path) as site, signed_in(site) as client:
        making = Making(OWNER, (Mount(str(site.workspace)),))
        session = await create(site.kernel.journal, making, site.kernel.clock.now_us())
        answer = await post(client, f"/chat/{session.id}/{act}", turn=number, number=number, text="again")
    assert answer.status_code == 422, answer.text
    assert "whole number" in answer.text
