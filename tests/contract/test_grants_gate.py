"""Every named grant against the real gate: which calls of which tools it permits, and which layer denies the rest.

The kernel is opened as the program opens it; each agent's capabilities are derived as a run's are;
each call is decided by the gate that boot built, with approval in mode `auto`, so that nothing but
authority decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio
import pytest

from kernel.boot import Kernel, open_kernel
from kernel.capability.grants import GRANTS, derive_grant
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.directive import Mount
from kernel.gate.decision import Denied, NeedsApproval
from kernel.gate.request import Request
from kernel.ids import CallId, Digest, Principal, RunId, agent
from kernel.jsontypes import JsonObject
from kernel.process.supervisor import AGENT_ROLE
from kernel.runtime.model import model
from kernel.settings import load_settings
from kernel.syscalls.declare import AnySyscall
from kernel.syscalls.permit import Permit

ALICE = Principal("user:alice")
NAMES: Final = tuple(GRANTS)
PERMIT: Final = "permit"

TOOLS: Final[tuple[tuple[str, JsonObject, str], ...]] = (
    ("read", {"path": "a"}, PERMIT),
    ("ls", {}, PERMIT),
    ("find", {"pattern": "*"}, PERMIT),
    ("grep", {"pattern": "x"}, PERMIT),
    ("write", {"path": "new", "content": "x"}, PERMIT),
    ("edit", {"path": "a", "old": "x", "new": "y"}, PERMIT),
    ("read", {"path": "{ro}/b"}, PERMIT),
    ("write", {"path": "{ro}/new", "content": "x"}, "paths"),
    ("edit", {"path": "{ro}/b", "old": "x", "new": "y"}, "paths"),
    ("read", {"path": "{out}/c"}, "paths"),
    ("read", {"path": "../out/c"}, "paths"),
    ("read", {"path": "{home}/policy.csv"}, "paths"),
    ("write", {"path": "{home}/policy.csv", "content": "p, agent, *, *"}, "paths"),
    ("exec", {"argv": ["git", "status"]}, PERMIT),
    ("exec", {"command": "git status | wc -l"}, PERMIT),
    ("exec", {"argv": ["curl", "x"], "network": True}, "capability"),
    ("exec", {"command": "curl x", "network": True}, "capability"),
    ("exec", {"argv": ["true"], "cwd": "{out}"}, "paths"),
    ("web_fetch", {"url": "https://1.1.1.1/"}, PERMIT),
    ("web_fetch", {"url": "http://1.1.1.1/"}, PERMIT),
    ("web_fetch", {"url": "https://1.1.1.1:8443/"}, "capability"),
    ("web_fetch", {"url": "https://127.0.0.1/"}, "egress"),
    ("web_search", {"query": "x"}, PERMIT),
    ("get_search_results", {"search": "x"}, PERMIT),
    ("ask_user", {"question": "x"}, PERMIT),
    ("read_output", {"call": "r1.1"}, PERMIT),
)
"""What all four grants say of the tools. A tool that is missing here fails the test below."""

KERNEL_CALLS: Final[tuple[tuple[str, JsonObject], ...]] = (
    ("caps.list", {}),
    ("caps.grant", {"to": "agent:x", "resource": "file:/**", "rights": "rwxd"}),
    ("caps.revoke", {"capability": "c1"}),
    ("runs.cancel", {"run": "r1"}),
    ("approvals.answer", {"approval": "a1", "choice": "always"}),
    ("persona.use", {"name": "dev"}),
)
"""Never an agent's, whatever it holds: the capability or its role denies."""

REACH: Final[tuple[tuple[str, str, frozenset[str]], ...]] = (
    ("memory:notes/a", "r", frozenset({"standard", "operator", "supervisor"})),
    ("memory:notes/a", "w", frozenset({"operator", "supervisor"})),
    ("agent:r9", "x", frozenset({"operator", "supervisor"})),
    ("mcp:server/tool", "x", frozenset({"operator", "supervisor"})),
    ("persona:dev", "r", frozenset(NAMES)),
    ("persona:dev", "w", frozenset({"operator", "supervisor"})),
    ("kernel:runs", "w", frozenset({"operator", "supervisor"})),
    ("kernel:approvals", "w", frozenset({"operator", "supervisor"})),
    ("kernel:caps", "r", frozenset({"supervisor"})),
    ("kernel:caps", "w", frozenset({"supervisor"})),
    ("approve:exec/rm", "x", frozenset[str]()),
    ("net:example.org:25", "x", frozenset[str]()),
    ("file:/etc/passwd", "r", frozenset[str]()),
)
"""What only some grants reach, for the rooms whose tools are still to come."""


class Office:
    """An open kernel with one agent a grant, and the places they may and may not see."""

    def __init__(self, kernel: Kernel, folder: Path) -> None:
        self.kernel = kernel
        self.places = {name: str(folder / name) for name in ("w", "ro", "out", "home")}
        self.mounts = (Mount(self.places["w"], "rw"), Mount(self.places["ro"], "ro"))
        self.calls = 0

    async def hire(self, grant: str) -> Principal:
        run = RunId(f"r-{grant}")
        await derive_grant(
            self.kernel.capabilities, owner=ALICE, to=agent(run), mounts=self.mounts, hint=grant, ceiling="supervisor"
        )
        return agent(run)

    async def decide(self, who: Principal, called: AnySyscall, arguments: JsonObject) -> str:
        """`permit`, or the layer that denies."""
        self.calls += 1
        filled = {name: self._fill(value) for name, value in arguments.items()}
        run = RunId(who.partition(":")[2])
        request = Request(
            principal=who,
            owner=ALICE,
            role=AGENT_ROLE,
            run=run,
            call=CallId(f"{run}.{self.calls}"),
            syscall=called,
            args=called.args.model_validate(filled),
            arguments=Digest("0" * 64),
            mounts=self.mounts,
        )
        match await self.kernel.dispatcher.gate.decide(request):
            case Permit() as permit:
                self.kernel.dispatcher.ledger.release(permit)
                return PERMIT
            case Denied() as denied:
                assert denied.reason
                assert denied.remedy
                return denied.layer
            case NeedsApproval():
                return "asked"

    def _fill(self, value: object) -> object:
        return value.format(**self.places) if isinstance(value, str) else value

    async def surprises(self, grant: str) -> list[str]:
        """Where an agent with this grant gets another answer than the tables say."""
        who = await self.hire(grant)
        wrong: list[str] = []
        for name, arguments, expected in TOOLS:
            said = await self.decide(who, self.kernel.table.get(name), arguments)
            if said != expected:
                wrong.append(f"{name} {arguments}: {said}, not {expected}")
        if await self.decide(who, model, {"model": "embedded/planner"}) != PERMIT:
            wrong.append("the model is denied")
        for name, arguments in KERNEL_CALLS:
            said = await self.decide(who, self.kernel.table.get(name), arguments)
            if said not in {"capability", "roles"}:
                wrong.append(f"{name}: {said}")
        for text, right, grants in REACH:
            need = Need(_target(text), Rights.parse(right))
            if isinstance(self.kernel.capabilities.cover(who, [need]), tuple) != (grant in grants):
                wrong.append(f"{need} is covered: {grant not in grants}")
        return wrong


async def _matrix(folder: Path) -> dict[str, list[str]]:
    for name in ("w", "ro", "out", "home"):
        (folder / name).mkdir()
    for name in ("w/a", "ro/b", "out/c"):
        (folder / name).write_text("x", encoding="utf-8")
    settings = load_settings(
        cwd=folder, env={}, home=folder / "home", overrides={"approval.mode": "auto"}, system_file=folder / "none"
    )
    async with open_kernel(settings, operator=ALICE) as kernel:
        office = Office(kernel, folder)
        wrong = {grant: await office.surprises(grant) for grant in NAMES}
        untested = {item.name for item in kernel.table.offered()} - {name for name, _, _ in TOOLS}
        return {**wrong, "tools that no line tests": sorted(untested)}


def _target(text: str) -> Resource:
    kind, name = text.split(":", 1)
    if kind == "net":
        host, port = name.rsplit(":", 1)
        return Resource.target("net", host, port)
    return Resource.target(Resource.parse(text).kind, name)


def test_every_grant_permits_and_denies_what_it_says(tmp_path: Path) -> None:
    """Four grants, every tool, the kernel's own syscalls and every kind of resource: no surprise."""
    wrong = anyio.run(_matrix, tmp_path.resolve())
    assert {name: lines for name, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_a_grant_names_is_asked_for_by_something(name: str) -> None:
    """No grant speaks of a resource that no tool, reach or file above checks: one vocabulary."""
    asked = {text.partition(":")[0] for text, _, _ in REACH} | {"file", "exec", "net", "search", "model", "ask"}
    assert {text.partition(":")[0] for text, _ in GRANTS[name].entries} <= asked
