"""Capabilities through the operator's handle and the command line: the real kernel, journal and gate."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import pytest

from kernel.boot import Kernel, open_kernel
from kernel.capability.grants import operator_root
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.errors import AccessDenied, Conflict, Invalid, NotFound
from kernel.ids import Principal
from kernel.jsontypes import JsonValue
from kernel.settings import load_settings
from oxios.__main__ import main
from oxios.exits import Exit

ALICE = Principal("user:alice")
JOB = "job:build"
READ_A = Need(Resource.target("file", "/w/a"), Rights.READ)

T = TypeVar("T")
Fields = dict[str, Any]


def in_kernel(folder: Path, body: Callable[[Kernel], Awaitable[T]]) -> T:
    """Open the kernel of a home, run the body, close it."""

    async def go() -> T:
        settings = load_settings(cwd=folder, env={}, home=folder / "home", system_file=folder / "none")
        async with open_kernel(settings, operator=ALICE) as kernel:
            return await body(kernel)

    return anyio.run(go)


async def call(kernel: Kernel, name: str, arguments: Mapping[str, JsonValue]) -> Fields:
    return cast("Fields", (await kernel.handle(ALICE).call(name, arguments)).data)


async def grant(kernel: Kernel, **more: JsonValue) -> Fields:
    found = await call(kernel, "caps.grant", {"to": JOB, "resource": "file:/w/**", "rights": "rd", **more})
    return cast("list[Fields]", found["capabilities"])[0]


def may(kernel: Kernel, holder: str = JOB) -> bool:
    return isinstance(kernel.capabilities.cover(Principal(holder), [READ_A]), tuple)


def test_the_operator_holds_its_root_from_first_boot_and_only_once(tmp_path: Path) -> None:
    """First boot mints it, the next boots find it, and every grant derives from it."""

    async def listed(kernel: Kernel) -> set[str]:
        found = await call(kernel, "caps.list", {"holder": ALICE})
        return {cap["resource"] for cap in found["capabilities"]}

    first, second = in_kernel(tmp_path, listed), in_kernel(tmp_path, listed)
    assert first == second == {str(resource) for resource, _ in operator_root()}


def test_a_grant_survives_a_restart_and_a_revocation_too(tmp_path: Path) -> None:
    """What was granted is held after reopening the home; what was revoked is not."""

    async def give(kernel: Kernel) -> Fields:
        cap = await grant(kernel, uses=2)
        assert may(kernel)
        await kernel.capabilities.consume([cap["id"]], by=Principal(JOB))
        return cap

    cap = in_kernel(tmp_path, give)
    assert (cap["holder"], cap["resource"], cap["rights"], cap["uses_left"]) == (JOB, "file:/w/**", "rd", 2)

    async def take(kernel: Kernel) -> None:
        assert may(kernel)
        assert kernel.capabilities.uses_left(cap["id"]) == 1
        child = await kernel.capabilities.derive(
            cap["id"], Principal("job:sub"), READ_A.resource, Rights.READ, by=Principal(JOB), origin="test"
        )
        gone = await call(kernel, "caps.revoke", {"capability": cap["id"]})
        assert set(gone["revoked"]) == {cap["id"], child.id}
        assert not may(kernel)
        assert not may(kernel, "job:sub")

    in_kernel(tmp_path, take)

    async def look(kernel: Kernel) -> bool:
        return may(kernel) or may(kernel, "job:sub")

    assert not in_kernel(tmp_path, look)


def test_derive_copies_narrows_and_never_widens(tmp_path: Path) -> None:
    """Without resource and rights it copies; more than the parent, or another's parent, is denied."""

    async def go(kernel: Kernel) -> None:
        cap = await grant(kernel, rights="r")
        root = cast("str", cap["parent"])
        copied = (await call(kernel, "caps.derive", {"parent": root, "to": JOB}))["capabilities"][0]
        assert (copied["resource"], copied["rights"], copied["parent"]) == ("file:/**", "rwxd", root)
        narrowed = {"parent": root, "to": JOB, "resource": "file:/w/a", "rights": "r", "expires_s": 60.0}
        made = (await call(kernel, "caps.derive", narrowed))["capabilities"][0]
        assert 0 < made["expires_us"] - kernel.clock.now_us() <= 60_000_000
        with pytest.raises(AccessDenied):
            await call(kernel, "caps.derive", {"parent": cap["id"], "to": JOB})
        with pytest.raises(AccessDenied):
            await call(kernel, "caps.derive", {"parent": root, "to": JOB, "resource": "exec:**"})
        for wrong in ({"to": "nobody"}, {"resource": "file:w"}, {"rights": "z"}, {"rights": "-"}, {"expires_s": 0}):
            with pytest.raises(Invalid):
                await grant(kernel, **wrong)
        with pytest.raises(NotFound):
            await call(kernel, "caps.delete", {"capability": "c0"})

    in_kernel(tmp_path, go)


def test_deleting_and_keeping(tmp_path: Path) -> None:
    """`delete` empties one slot, `keep` spares one; the tree shows what is left, parents first."""

    async def go(kernel: Kernel) -> None:
        cap = await grant(kernel)
        await kernel.capabilities.copy(cap["id"], Principal("job:sub"), by=Principal(JOB), origin="test")
        tree = (await call(kernel, "caps.tree", {"capability": cap["id"]}))["capabilities"]
        assert [one["holder"] for one in tree] == [JOB, "job:sub"]
        await call(kernel, "caps.delete", {"capability": cap["id"]})
        assert not may(kernel)
        assert may(kernel, "job:sub")
        await call(kernel, "caps.revoke", {"capability": cap["parent"], "keep": True})
        assert not may(kernel, "job:sub")
        assert may(kernel, ALICE)

    in_kernel(tmp_path, go)


def test_nobody_administers_without_the_capability_for_it(tmp_path: Path) -> None:
    """A person who holds nothing may neither list nor grant; the refusal is recorded."""

    async def go(kernel: Kernel) -> None:
        eve = kernel.handle(Principal("user:eve"))
        for name, arguments in (("caps.list", {}), ("caps.grant", {"to": JOB, "resource": "ask:user", "rights": "x"})):
            with pytest.raises(AccessDenied) as caught:
                await eve.call(name, cast("Mapping[str, JsonValue]", arguments))
            assert caught.value.layer == "capability"

    async def count(kernel: Kernel) -> int:
        return len(await kernel.journal.read(kind="call.denied", principal=Principal("user:eve")))

    in_kernel(tmp_path, go)
    assert in_kernel(tmp_path, count) == len(("caps.list", "caps.grant"))


def test_root_authority_is_taken_only_where_that_is_meant(tmp_path: Path) -> None:
    """Nothing mints it again: revoke and delete want `root`, and spare what they themselves rest on."""

    async def go(kernel: Kernel) -> None:
        held = (await call(kernel, "caps.list", {"holder": ALICE}))["capabilities"]
        roots = {one["resource"]: one["id"] for one in held}
        for taking in ("caps.revoke", "caps.delete"):
            with pytest.raises(Conflict, match="nothing gives it back"):
                await call(kernel, taking, {"capability": roots["exec:**"]})
            with pytest.raises(Conflict, match="nobody could grant anything"):
                await call(kernel, taking, {"capability": roots["kernel:**"], "root": True})
        await call(kernel, "caps.revoke", {"capability": roots["exec:**"], "root": True})
        await call(kernel, "caps.delete", {"capability": roots["net:*:*"], "root": True})
        left = (await call(kernel, "caps.list", {"holder": ALICE}))["capabilities"]
        assert {one["resource"] for one in left} == roots.keys() - {"exec:**", "net:*:*"}

    in_kernel(tmp_path, go)


def test_the_command_line_grants_lists_and_takes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data on stdout, talk on stderr, each step seen by the next process."""
    monkeypatch.chdir(tmp_path)
    flags = ["--home", str(tmp_path / "home")]

    def oxios(*words: str) -> tuple[int, str]:
        code = main([*flags, "caps", *words])
        return code, capsys.readouterr().out

    code, made = oxios("grant", JOB, "file:/w/**", "rd", "--expires", "1h", "--uses", "3")
    cap = made.strip()
    assert code == Exit.OK
    assert cap in oxios("list", JOB)[1]
    listed = json.loads(oxios("list", JOB, "--json")[1])
    assert [one["uses_left"] for one in listed] == [3]
    child = oxios("derive", listed[0]["parent"], "job:sub", "file:/w/a", "r")[1].strip()
    (top,) = [one for one in json.loads(oxios("tree", "--json")[1]) if one["id"] == listed[0]["parent"]]
    assert {one["id"] for one in top["children"]} == {cap, child}
    assert f"  {cap}" in oxios("tree")[1]
    assert oxios("revoke", cap)[1].split() == [cap]
    assert oxios("delete", child)[0] == Exit.OK
    assert oxios("list", JOB) == (Exit.OK, "")


@pytest.mark.parametrize(
    "words",
    [
        ["grant", "nobody", "ask:user", "x"],
        ["grant", JOB, "ask", "x"],
        ["grant", JOB, "ask:user", "y"],
        ["grant", JOB, "ask:user", "x", "--uses", "0"],
        ["grant", JOB, "ask:user", "x", "--expires", "soon"],
        ["revoke", "c0"],
        ["delete", "c0"],
        ["tree", "c0"],
    ],
)
def test_bad_input_is_named_and_nothing_changes(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mistake ends with the usage code and two lines on stderr: what was wrong, what to try."""
    monkeypatch.chdir(tmp_path)
    assert main(["--home", str(tmp_path / "home"), "caps", *words]) == Exit.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: " in said.err
    assert "try: " in said.err
