"""The page of tools: declarations as the gate has them, the approval in force, and how calls went."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from kernel.directive import Directive, ExecEnv, Mount
from kernel.testing.provider import call, say
from tests.web.browser import open_browser, open_site
from tests.web.page_world import HOSTILE, looks_right, signed_in
from tests.world import MODEL, OWNER
from webui.figures import median

pytestmark = pytest.mark.anyio
SETTINGS = {"approval.policies.web_fetch": "always", "approval.mode": "manual"}


async def test_every_syscall_is_there_with_what_is_in_force(tmp_path: Path) -> None:
    """Tools apart from the rest; a policy of the settings stands in place of the declared one."""
    async with open_site(tmp_path, settings=SETTINGS) as site, signed_in(site) as client:
        shown = (await client.get("/tools")).text
        offered, _, others = shown.partition("Other syscalls")
        for one in site.kernel.table:
            assert (f'id="tool-{one.name}"' in offered) is one.offered, one.name
            assert (f'id="tool-{one.name}"' in others) is not one.offered, one.name
        row = shown.partition('id="tool-web_fetch"')[2].partition("</tr>")[0]
        assert "by approval.policies" in row
        assert "asked about every time" in row
        assert "mode manual" in shown


async def test_calls_are_counted_for_who_sees_all(tmp_path: Path) -> None:
    """A call that ran and one that failed, with a median; a user sees declarations and no figures."""
    script = [call("ls", path="."), call("read", path=f"{HOSTILE}"), say("done")]
    async with open_site(tmp_path, script) as site:
        await site.kernel.handle(OWNER).call("users.create", {"name": "bob", "role": "user"})
        env = ExecEnv(mounts=(Mount(str(site.workspace)),), model=MODEL)
        await site.kernel.runs.wait(await site.kernel.runs.start(Directive("look"), env, owner=OWNER))
        async with signed_in(site) as client:
            shown = (await client.get("/tools")).text
        listed, read = (shown.partition(f'id="tool-{name}"')[2].partition("</tr>")[0] for name in ("ls", "read"))
        assert '<td class="number">1</td>' in listed
        assert " ms</span>" in listed
        assert listed.count('<td class="number">0</td>') == 1
        assert read.count('<td class="number">1</td>') == 2 or "refused" in read
        assert HOSTILE not in shown
        async with signed_in(site, "bob") as client:
            theirs = (await client.get("/tools")).text
        assert "Median" not in theirs
        assert 'id="tool-ls"' in theirs


async def test_the_page_is_accessible_and_schemas_open(tmp_path: Path) -> None:
    """By a click on its summary; axe finds nothing in any look."""
    async with open_site(tmp_path) as site, open_browser(site) as browser:
        visitor = await browser.visitor()
        page = await visitor.sign_in(then="/tools")
        row = page.locator("#tool-exec")
        await expect(row.locator("pre")).to_be_hidden()
        await row.locator("summary").click()
        await expect(row.locator("pre")).to_contain_text('"properties"')
        assert await looks_right(page) == []


def test_a_median_lies_within_its_bucket() -> None:
    """By share of the bucket that holds the middle; beyond the last bound it is that bound; of nothing it is none."""
    inf = float("inf")
    assert median([(1.0, 0), (2.0, 4), (inf, 4)]) == 1.5
    assert median([(1.0, 0), (2.0, 1), (inf, 4)]) == 2.0
    assert median([(1.0, 0), (inf, 0)]) is None
    assert median([]) is None
