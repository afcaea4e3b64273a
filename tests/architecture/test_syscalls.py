"""Syscalls are declared whole, and no body can be reached but through a permit that the gate made."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from kernel.syscalls.declare import AnySyscall, Effect
from kernel.syscalls.table import args_schema, discover
from tests.architecture.tree import PRODUCT, module_name, python_files, tree

SYSCALLS = tuple(discover())

RESERVED = {
    "Permit": ("kernel.gate", "kernel.syscalls.permit"),
    "ledger.issue": ("kernel.gate", "kernel.syscalls.permit"),
    "ledger.redeem": ("kernel.runtime", "kernel.syscalls.permit"),
    "syscall.invoke": ("kernel.runtime", "kernel.syscalls.declare"),
    "_body": ("kernel.syscalls.declare",),
}
"""What may be named only where it belongs: making permits, redeeming them, running bodies."""


def _reserved(node: ast.AST) -> str:
    """Which reserved name a node uses, or nothing. A receiver counts by the last word of its name."""
    if isinstance(node, ast.Attribute) and node.attr == "_body":
        return node.attr
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name) and node.func.id == "Permit":
        return node.func.id
    if isinstance(node.func, ast.Attribute):
        receiver = ast.unparse(node.func.value).rpartition(".")[2].rpartition("_")[2]
        return f"{receiver}.{node.func.attr}" if node.func.attr != "invoke" else "syscall.invoke"
    return ""


def trespasses(module: str, source: ast.Module) -> list[str]:
    """Uses of a reserved name outside its rooms."""
    found: list[str] = []
    for node in ast.walk(source):
        name = _reserved(node)
        rooms = RESERVED.get(name)
        if rooms and not any(module == room or module.startswith(f"{room}.") for room in rooms):
            found.append(f"{module}:{getattr(node, 'lineno', 0)} uses {name}")
    return found


def _areas() -> dict[str, Path]:
    """Modules of `kernel.tools` that declare a syscall."""
    return {
        module_name(path): path
        for path in python_files("kernel")
        if path.parts[:2] == ("kernel", "tools")
        and any(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") == "syscall" for node in ast.walk(tree(path))
        )
    }


@pytest.mark.parametrize("one", SYSCALLS, ids=lambda one: one.name)
def test_a_syscall_is_declared_whole(one: AnySyscall) -> None:
    """It says what it does, has a schema that models take, a known effect and a finite deadline for calls."""
    assert one.description.endswith((".", "!", ")", "`"))
    assert isinstance(one.effect, Effect)
    assert one.approval in {"auto", "on_demand", "always"}
    schema = args_schema(one.args)
    assert schema["type"] == "object"
    assert schema.get("additionalProperties") is False
    assert "$ref" not in str(schema)


@pytest.mark.parametrize("one", SYSCALLS, ids=lambda one: one.name)
def test_a_syscall_is_not_a_function(one: AnySyscall) -> None:
    """The declared name cannot be called past the gate: what stands there is a declaration."""
    assert not callable(one)


@pytest.mark.parametrize("one", [one for one in SYSCALLS if one.offered], ids=lambda one: one.name)
def test_a_tool_explains_its_arguments(one: AnySyscall) -> None:
    """A model reads of each argument what it is for."""
    silent = [name for name, field in one.args.model_fields.items() if not field.description]
    assert not silent


def test_an_external_effect_is_never_approved_by_default() -> None:
    """What a model asks for and cannot be taken back is put to a person by default."""
    assert not {
        one.name for one in SYSCALLS if one.offered and one.effect is Effect.EXTERNAL and one.approval == "auto"
    }


def test_permits_and_bodies_are_reached_from_their_rooms_only() -> None:
    """Nobody outside the gate makes a permit; nobody outside the runtime redeems one or runs a body."""
    found = [fault for path in python_files(*PRODUCT) for fault in trespasses(module_name(path), tree(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source", ["self._ledger.issue(p)", "Permit()", "one._body(call, args)", "ledger.redeem(p)", "x.invoke()"]
)
def test_a_trespass_is_seen(source: str) -> None:
    """Each reserved name is seen in a module that has no business with it."""
    assert trespasses("oxios.cli.seed", ast.parse(source))


def test_no_tool_area_knows_another() -> None:
    """A module that declares a syscall is imported by no other module of the tools."""
    areas = _areas()
    assert areas
    found = [
        f"{module_name(path)} imports {imported}"
        for path in python_files("kernel")
        if path.parts[:2] == ("kernel", "tools")
        for imported in _imported(tree(path)) & areas.keys() - {module_name(path)}
    ]
    assert not found, "\n".join(found)


def _imported(module: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("one", SYSCALLS, ids=lambda one: one.name)
def test_deadlines_are_finite(one: AnySyscall) -> None:
    """Whatever a call's deadline depends on, without it the deadline is positive and finite."""
    assert 0 < one.deadline_s(one.args.model_construct()) < math.inf
