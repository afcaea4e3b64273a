"""The table: what is found, what stops the boot, and the schema that models see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from kernel.errors import KernelBug, NotFound
from kernel.syscalls.declare import AnySyscall, Args, Call, Effect, ToolResult, no_claims, syscall
from kernel.syscalls.table import SyscallTable, args_schema, discover


class Nothing(Args):
    """No arguments."""


def made(name: str, *, offered: bool = True, args: type[Args] = Nothing) -> AnySyscall:
    @syscall(name, args, claims=no_claims, effect=Effect.PURE, offered=offered)
    async def body(call: Call, args: Args) -> ToolResult:
        """Say nothing."""
        raise AssertionError("never run")

    return body


def test_every_tool_of_the_tree_is_found() -> None:
    """The package walk finds what the tools' modules define, handles' syscalls among them."""
    names = {one.name for one in discover()}
    assert names >= {"read", "write", "edit", "ls", "find", "grep", "exec", "web_fetch", "web_search"}
    assert names >= {"get_search_results", "ask_user", "undo"}


def test_two_syscalls_of_one_name_stop_the_boot() -> None:
    """A name is never silently taken over; the same object found twice is one syscall."""
    one = made("x")
    assert len(SyscallTable([one, one])) == 1
    with pytest.raises(KernelBug, match="two syscalls are named 'x'"):
        SyscallTable([one, made("x")])


def test_a_duplicate_in_the_packages_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk itself sees it: two modules of a package that define one name."""
    package = tmp_path / "twice_named_tools"
    package.mkdir()
    (package / "__init__.py").write_text("")
    source = "from tests.unit.test_syscall_table import made\none = made('twice')\n"
    for module in ("a", "b"):
        (package / f"{module}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(KernelBug, match="twice"):
        discover(("twice_named_tools",))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """A misspelt name is told what it may have meant."""
    table = SyscallTable([made("web_fetch"), made("read")])
    with pytest.raises(NotFound) as refused:
        table.get("web_fech")
    assert refused.value.remedy == "did you mean web_fetch?"


def test_specs_are_in_order_of_name_and_shared() -> None:
    """Equal sets of tools give the same objects in the same order: their encoding is stable."""
    table = SyscallTable([made("b"), made("a"), made("c")])
    assert [spec.name for spec in table.tool_specs(["c", "a", "c"])] == ["a", "c"]
    assert table.tool_specs(["a"])[0] is table.tool_specs({"a", "b"})[0]


def test_what_is_not_offered_never_becomes_a_tool() -> None:
    """It is in the table, not among the offered, and asking for its spec is a bug."""
    table = SyscallTable([made("a"), made("hidden", offered=False)])
    assert [one.name for one in table.offered()] == ["a"]
    with pytest.raises(KernelBug, match="hidden"):
        table.tool_specs(["hidden"])


class Inner(BaseModel):
    """Part of an argument."""

    title: str = Field(description="A property that is called title.")


class Rich(Args):
    """What pydantic makes of everything at once."""

    inner: Inner
    many: tuple[Inner, ...] = ()
    maybe: int | None = Field(default=None, ge=1)
    word: Literal["title", "b"] = "title"


def test_the_schema_is_plain() -> None:
    """No references, no titles of its own making, optional values as their own type; data stays."""
    inner = {
        "type": "object",
        "properties": {"title": {"type": "string", "description": "A property that is called title."}},
        "required": ["title"],
    }
    schema: dict[str, Any] = dict(args_schema(Rich))
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["inner"]
    properties = schema["properties"]
    assert {**properties["inner"], "description": ""} == {**inner, "description": ""}
    assert properties["many"]["items"]["properties"] == inner["properties"]
    assert properties["maybe"] == {"type": "integer", "minimum": 1}
    assert properties["word"] == {"type": "string", "enum": ["title", "b"], "default": "title"}
    assert "$" not in str(schema)


class Loop(BaseModel):
    """Contains itself."""

    again: list[Loop] = []


class Recursive(Args):
    """Takes what contains itself."""

    loop: Loop


def test_an_argument_type_that_contains_itself_is_a_bug() -> None:
    """No model API takes it; it is found at boot, not in a run."""
    with pytest.raises(KernelBug, match="contains itself"):
        args_schema(Recursive)
