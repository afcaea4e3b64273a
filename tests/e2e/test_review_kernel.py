"""Seeds in a real kernel: recorded whole, reviewed through the gate, and no persona confers authority."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest

from kernel.boot import Kernel, open_kernel
from kernel.directive import Mount
from kernel.errors import AccessDenied, Conflict, NotFound
from kernel.ids import Principal, RunId, user
from kernel.journal.entry import Entry
from kernel.persona import Persona, load_personas
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from ouroboros.execute import Commission, SeedResult, carry_out, review_finished
from ouroboros.seed import Seed, SeedSpec
from ouroboros.seedbook import PROJECTORS, SeedBook, record_seed
from oxios.recover import recovering, unreviewed

OWNER = user("tester")
NOW_US = 1_800_000_000_000_000
T = TypeVar("T")


def _in_kernel(tmp_path: Path, body: Callable[[Kernel], Awaitable[T]]) -> T:
    async def main() -> T:
        settings = load_settings(home=tmp_path / "home", env={}, cwd=tmp_path, system_file=tmp_path / "none.toml")
        async with open_kernel(settings, operator=OWNER, more_projectors=PROJECTORS) as kernel:
            return await body(kernel)

    return anyio.run(main)


def _work(tmp_path: Path, persona: Persona | None = None, mode: str = "rw", **spec: object) -> Commission:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    seed = Seed.new(SeedSpec.model_validate({"goal": "list .", **spec}), NOW_US)
    return Commission(seed, OWNER, (Mount(str(work), "ro" if mode == "ro" else "rw"),), persona, source="test")


def test_a_seed_stands_whole_in_the_journal(tmp_path: Path) -> None:
    """What is read back of a seed, by id and in the table, is what was submitted; the run names it."""
    work = _work(tmp_path, constraints=["softly"], budget={"usd": 0.5}, ontology=[{"name": "a", "type": "b"}])

    async def body(kernel: Kernel) -> tuple[SeedResult, Seed, dict[str, object], str]:
        result = await carry_out(kernel, work)
        rows = await SeedBook(kernel.journal).listed()
        with pytest.raises(NotFound):
            await SeedBook(kernel.journal).find("s0")
        run = await kernel.runs.state(result.run)
        return result, await SeedBook(kernel.journal).find(work.seed.id), dict(rows[0]), run.seed

    result, found, row, named = _in_kernel(tmp_path, body)
    assert found == work.seed
    assert named == work.seed.id == result.seed
    assert (row["id"], row["digest"], row["source"], row["parent"]) == (work.seed.id, work.seed.digest, "test", None)
    assert (result.status, result.verdict, result.passed) == ("finished", None, None)


def test_whoever_listens_hears_the_whole_run_in_order(tmp_path: Path) -> None:
    """Every entry of the run's stream, from its start to its verdict, reaches the listener once and in order."""
    heard: list[Entry] = []

    async def body(kernel: Kernel) -> tuple[list[Entry], SeedResult]:
        result = await carry_out(kernel, _work(tmp_path, criteria=["file absent: x"]), on_entry=heard.append)
        return await kernel.journal.read(stream=result.run), result

    written, result = _in_kernel(tmp_path, body)
    assert result.passed is True
    assert [entry.seq for entry in heard] == [entry.seq for entry in written]
    assert (heard[0].kind, heard[-1].kind) == ("run.started", "review.verdict")


def test_the_review_acts_through_the_gate(tmp_path: Path) -> None:
    """A criterion that names a place outside the mounts is refused, fails, and the refusal is its evidence."""
    (tmp_path / "outside.txt").write_text("x", encoding="utf-8")
    criteria = ["file exists: ../outside.txt", "file absent: ../home/journal/oxios.db", "file absent: nothing"]

    async def body(kernel: Kernel) -> tuple[SeedResult, dict[int, Entry]]:
        result = await carry_out(kernel, _work(tmp_path, criteria=criteria))
        return result, {entry.seq: entry for entry in await kernel.journal.read(stream=result.run)}

    result, entries = _in_kernel(tmp_path, body)
    assert result.verdict is not None
    assert [finding.status for finding in result.verdict.findings] == ["failed", "failed", "passed"]
    kinds = [[entries[seq].kind for seq in finding.evidence] for finding in result.verdict.findings]
    assert kinds == [["call.denied"], ["call.denied"], ["call.outcome"]]


def test_a_read_only_workspace_is_reviewed_and_stays_untouched(tmp_path: Path) -> None:
    """Commands of criteria run on a read-only workspace, and cannot write there."""
    criteria = ["command succeeds: true", "command fails: touch made.txt", "file absent: made.txt"]
    work = _work(tmp_path, mode="ro", criteria=criteria, goal="list .")
    result = _in_kernel(tmp_path, lambda kernel: carry_out(kernel, work))
    assert result.verdict is not None
    assert [finding.status for finding in result.verdict.findings] == ["passed"] * 3


def test_a_run_that_finished_unreviewed_is_reviewed_once(tmp_path: Path) -> None:
    """After a resume the seed is found again and the work reviewed; a second time nothing is done."""
    work = _work(tmp_path, criteria=["file exists: a.txt"], goal='write "x" to a.txt')

    async def body(kernel: Kernel) -> tuple[object, object, int]:
        first = await carry_out(kernel, replace(work, seed=work.seed.evolved(NOW_US, criteria=())))
        assert await review_finished(kernel, first.run) is None
        run = await kernel.runs.start(work.seed.directive(), work.env, owner=OWNER, seed=first.seed)
        await kernel.runs.wait(run)
        assert await review_finished(kernel, run) is None
        child = await carry_out(kernel, work)
        again = await review_finished(kernel, child.run)
        unreviewed = await kernel.runs.start(work.seed.directive(), work.env, owner=OWNER, seed=work.seed.id)
        await kernel.runs.wait(unreviewed)
        verdict = await review_finished(kernel, unreviewed)
        assert verdict is not None
        entries = await kernel.journal.read(stream=unreviewed, kind="review.verdict")
        assert await review_finished(kernel, unreviewed) is None
        return again, verdict.passed, len(entries)

    assert _in_kernel(tmp_path, body) == (None, True, 1)


@pytest.mark.parametrize("role", ["sre", "supervisor", "kernel"])
def test_no_persona_confers_authority(tmp_path: Path, role: str) -> None:
    """Whatever role a persona claims, its agent holds nothing that an agent without persona would not."""
    persona = replace(load_personas()["ops"], id="mine", role=role)

    async def held(kernel: Kernel, run: RunId) -> set[tuple[str, str]]:
        rows = await kernel.journal.rows("capabilities", {"holder": f"agent:{run}"})
        return {(str(row["resource"]), str(row["rights"])) for row in rows}

    async def body(kernel: Kernel) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        plain = await carry_out(kernel, _work(tmp_path))
        as_persona = await carry_out(kernel, _work(tmp_path, persona))
        return await held(kernel, plain.run), await held(kernel, as_persona.run)

    plain, with_persona = _in_kernel(tmp_path, body)
    assert plain
    assert with_persona <= plain


def test_switching_personas_is_a_syscall(tmp_path: Path) -> None:
    """A switch needs the capability, an enabled persona, and is undone by nobody else's word."""

    async def body(kernel: Kernel) -> list[object]:
        handle = kernel.handle(OWNER)
        await handle.call("persona.use", {"name": "dev"})
        shown = await handle.call("persona.show", {"name": "dev"})
        listed = await handle.call("persona.list", {})
        with pytest.raises(NotFound):
            await handle.call("persona.use", {"name": "nobody"})
        with pytest.raises(AccessDenied):
            await kernel.handle(Principal("user:stranger")).call("persona.use", {"name": "ops"})
        rows = await kernel.journal.rows("state", {"key": "persona.active"})
        return [shown.data["role"], listed.data["active"], rows[0]["value"]]

    assert _in_kernel(tmp_path, body) == ["developer", "dev", "dev"]


def test_a_disabled_persona_cannot_be_used(tmp_path: Path) -> None:
    """A persona of the home that is disabled can be looked at and not switched to."""
    folder = tmp_path / "home" / "personas"
    folder.mkdir(parents=True, mode=0o700)
    (tmp_path / "home").chmod(0o700)
    text = "---\nid: poet\nname: Poet\nrole: poet\ndescription: d\nenabled: false\n---\nWrite verse.\n"
    (folder / "poet.md").write_text(text, encoding="utf-8")

    async def body(kernel: Kernel) -> object:
        handle = kernel.handle(OWNER)
        with pytest.raises(Conflict):
            await handle.call("persona.use", {"name": "poet"})
        return (await handle.call("persona.show", {"name": "poet"})).data["enabled"]

    assert _in_kernel(tmp_path, body) is False


def test_a_review_that_a_crash_prevented_is_made_at_the_next_start(tmp_path: Path) -> None:
    """A run that finished without its verdict is found and reviewed; one that has it, or needs none, is left alone."""
    work = _work(tmp_path, criteria=["file absent: x"])
    quiet = Namespace(quiet=True, verbose=False)

    async def body(kernel: Kernel) -> RunId:
        await record_seed(kernel.journal, work.seed, OWNER, "test")
        run = await kernel.runs.start(work.seed.directive(), work.env, owner=OWNER, seed=work.seed.id)
        assert (await kernel.runs.wait(run)).status == "finished"
        return run

    async def again(kernel: Kernel) -> tuple[list[RunId], list[RunId], RunState]:
        await carry_out(kernel, _work(tmp_path))
        found = await unreviewed(kernel)
        async with recovering(kernel, quiet):
            await anyio.lowlevel.checkpoint()
        return found, await unreviewed(kernel), await kernel.runs.state(run)

    run = _in_kernel(tmp_path, body)
    found, left, state = _in_kernel(tmp_path, again)
    assert (found, left) == ([run], [])
    assert state.verdict is not None
    assert state.verdict["passed"] is True
