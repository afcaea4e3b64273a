"""The arguments layer: bounds, and what each claim needs."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.capability.rights import Rights
from kernel.directive import Mount
from kernel.errors import Invalid, KernelBug
from kernel.gate.arguments import ArgumentsLayer
from kernel.gate.decision import Case, Denied
from kernel.gate.request import Request
from kernel.ids import CallId, Digest, Principal
from kernel.limits import ARGUMENT_BYTES_MAX
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import (
    Claim,
    CommandClaim,
    CommandTarget,
    NameClaim,
    NameTarget,
    PathClaim,
    PathTarget,
    UrlClaim,
    UrlTarget,
)

BOB = Principal("agent:r1")


class TextArgs(Args):
    text: str = ""


def walk(claims: tuple[Claim, ...], folder: Path, text: str = "") -> tuple[Denied | None, Case]:
    """Pass one call with these claims through the layer."""

    @syscall("probe", TextArgs, claims=lambda _args: claims, effect=Effect.READ)
    async def probe(_call: Call, _args: TextArgs) -> ToolResult:
        """Probe."""
        raise AssertionError

    mounts = (Mount(str(folder.resolve())),)
    request = Request(BOB, BOB, "agent", None, CallId("r1.1"), probe, TextArgs(text=text), Digest("0" * 64), mounts)
    case = Case(request)
    home = str((folder / "home").resolve())
    return anyio.run(ArgumentsLayer((home,)).check, case), case


def needs(claims: tuple[Claim, ...], folder: Path) -> list[str]:
    denied, case = walk(claims, folder)
    assert denied is None
    return [str(need) for need in case.needs]


def test_a_path_needs_its_real_place(tmp_path: Path) -> None:
    """A link inside the workspace needs what it leads to, so no second name evades a capability."""
    (tmp_path / "real").write_text("x", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    place = tmp_path.resolve()
    assert needs((PathClaim("link", Rights.READ),), tmp_path) == [f"file:{place}/real [r]"]
    _, case = walk((PathClaim("link", Rights.READ),), tmp_path)
    target = case.targets["link"]
    assert isinstance(target, PathTarget)
    assert target.real == f"{place}/real"


def test_a_directory_needs_all_that_is_below_it(tmp_path: Path) -> None:
    """What searches or runs in a directory may touch everything in it; the workspace itself included."""
    (tmp_path / "src").mkdir()
    place = tmp_path.resolve()
    assert needs((PathClaim("src", Rights.READ),), tmp_path) == [f"file:{place}/src/** [r]"]
    assert needs((PathClaim(".", Rights.WRITE),), tmp_path) == [f"file:{place}/** [w]"]


def test_one_path_with_two_rights_has_two_needs_and_one_target(tmp_path: Path) -> None:
    """Reading and writing one file is both needs; the body finds one target."""
    (tmp_path / "a").write_text("x", encoding="utf-8")
    denied, case = walk((PathClaim("a", Rights.READ), PathClaim("a", Rights.WRITE)), tmp_path)
    assert denied is None
    assert [need.right for need in case.needs] == [Rights.READ, Rights.WRITE]
    assert list(case.targets) == ["a"]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (CommandClaim(("git", "status")), ["exec:git [x]"]),
        (CommandClaim(("/usr/bin/env", "git", "status")), ["exec:env [x]", "exec:git [x]"]),
        (CommandClaim(("./tool",)), ["exec:./tool [x]"]),
        (CommandClaim(("/opt/tool",)), ["exec:opt/tool [x]"]),
        (CommandClaim(("git status && rm x",), shell=True), ["exec:shell [x]"]),
        (CommandClaim(("curl", "x"), network=True), ["exec:curl [x]", "net:*:* [x]"]),
        (CommandClaim(("true",), shell=True, network=True), ["exec:shell [x]", "net:*:* [x]"]),
        (UrlClaim("https://Example.org/x"), ["net:example.org:443 [r]"]),
        (UrlClaim("http://example.org:8080/x"), ["net:example.org:8080 [r]"]),
        (NameClaim("model", "openai/gpt", Rights.EXECUTE), ["model:openai/gpt [x]"]),
        (NameClaim("net", "example.org:25", Rights.EXECUTE), ["net:example.org:25 [x]"]),
    ],
)
def test_what_each_claim_needs(claim: Claim, expected: list[str], tmp_path: Path) -> None:
    """The whole vocabulary of needs, claim by claim."""
    assert needs((claim,), tmp_path) == expected


def test_targets_stand_under_the_names_that_bodies_use(tmp_path: Path) -> None:
    """`command` for the command, the claim's own text for all others."""
    claims = (
        CommandClaim(("true",)),
        UrlClaim("https://example.org/"),
        NameClaim("ask", "user", Rights.EXECUTE),
    )
    _, case = walk(claims, tmp_path)
    kinds = {name: type(target) for name, target in case.targets.items()}
    assert kinds == {"command": CommandTarget, "https://example.org/": UrlTarget, "user": NameTarget}


@pytest.mark.parametrize(
    "claims",
    [
        (CommandClaim(("true",)), PathClaim("command", Rights.READ)),
        (PathClaim("command", Rights.READ), CommandClaim(("true",))),
        (NameClaim("ask", "a", Rights.READ), PathClaim("a", Rights.READ)),
        (CommandClaim(("true",)), CommandClaim(("false",))),
    ],
)
def test_two_meanings_of_one_name_are_refused(claims: tuple[Claim, ...], tmp_path: Path) -> None:
    """A path called `command` beside a command must not become its target."""
    for name in ("command", "a"):
        (tmp_path / name).mkdir()
    denied, _ = walk(claims, tmp_path)
    assert denied is not None
    assert denied.layer == "arguments"


@pytest.mark.parametrize(
    ("claim", "layer"),
    [
        (PathClaim("../x", Rights.READ), "paths"),
        (PathClaim("home/key", Rights.READ), "paths"),
        (CommandClaim(()), "commands"),
        (UrlClaim("ftp://example.org"), "egress"),
    ],
)
def test_what_cannot_be_resolved_is_refused_by_its_own_layer(claim: Claim, layer: str, tmp_path: Path) -> None:
    """Out of the workspace, into the kernel's home, no command, no web address."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "key").write_text("secret", encoding="utf-8")
    denied, case = walk((claim,), tmp_path)
    assert denied is not None
    assert denied.layer == layer
    assert denied.remedy
    assert case.needs == []


def test_arguments_are_bounded(tmp_path: Path) -> None:
    """ARGUMENT_BYTES_MAX bytes of JSON pass, one more is refused with the bound."""
    frame = len('{"text":""}')
    assert walk((), tmp_path, "a" * (ARGUMENT_BYTES_MAX - frame))[0] is None
    denied, _ = walk((), tmp_path, "a" * (ARGUMENT_BYTES_MAX - frame + 1))
    assert denied is not None
    assert denied.layer == "arguments"
    assert str(ARGUMENT_BYTES_MAX) in denied.remedy


def test_a_file_claimed_by_name_is_a_bug_and_a_bad_host_an_error(tmp_path: Path) -> None:
    """A tool cannot get round the resolving of paths; a host without a port is no host."""
    with pytest.raises(KernelBug):
        walk((NameClaim("file", "/etc/passwd", Rights.READ),), tmp_path)
    for name in ("example.org", ":443", "h:0", "h:65536", "h:x", "h:²"):
        with pytest.raises(Invalid):
            walk((NameClaim("net", name, Rights.READ),), tmp_path)
