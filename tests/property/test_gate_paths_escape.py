"""No tree of links and no path leads out of a mount."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.capability.rights import Rights
from kernel.directive import Mount
from kernel.errors import Conflict, NotFound
from kernel.gate import beneath
from kernel.gate.decision import Denied
from kernel.gate.paths import open_beneath, resolve_path
from kernel.syscalls.target import PathClaim, PathTarget

NAMES = ("a", "b", "c")
part = st.sampled_from([*NAMES, "..", "."])
relative = st.lists(part, min_size=1, max_size=5).map("/".join)
link = st.tuples(st.sampled_from(NAMES), st.sampled_from(["", *NAMES]), relative, st.booleans())


def build(root: Path, links: list[tuple[str, str, str, bool]]) -> Path:
    """A mount with folders a, b, c, files in them, and links that may point anywhere."""
    work = root / "work"
    for name in NAMES:
        (work / name).mkdir(parents=True)
        (work / name / "a").write_text("inside")
        (root / name).mkdir()
        (root / name / "a").write_text("outside")
    for folder, name, target, absolute in links:
        place = work / folder / (name or "x")
        if not place.exists() and not place.is_symlink():
            place.symlink_to(f"{work}/{target}" if absolute else target)
    return work


@pytest.mark.parametrize("engine", ["openat2", "walk"])
@settings(max_examples=60)
@given(links=st.lists(link, max_size=4), written=relative, missing_ok=st.booleans())
def test_a_resolved_path_is_inside_and_is_what_the_system_would_open(
    engine: str, links: list[tuple[str, str, str, bool]], written: str, missing_ok: bool
) -> None:
    """Allowed means: below the mount, and the same place that following every link would give.

    Refused means, for what exists: it leads out, or is no file or folder, or passes through nothing.
    """
    works = beneath.openat2_works
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(beneath, "openat2_works", works if engine == "openat2" else lambda: False)
        work = build(Path(os.path.realpath(name)), links)
        truth = os.path.realpath(work / written)
        found = resolve_path(PathClaim(written, Rights.READ, missing_ok), (Mount(str(work)),), ())
        inside = truth == str(work) or truth.startswith(f"{work}/")
        if isinstance(found, PathTarget):
            assert inside
            assert found.real == truth
            assert found.exists == Path(truth).exists()
        elif os.path.exists(f"{work}/{written}"):  # noqa: PTH110 -- pathlib drops a last dot, which a file cannot have
            # `a/../..` may step out and come back in: that is refused although it ends inside.
            assert isinstance(found, Denied)
            assert not inside or leaves(work, written)


@settings(max_examples=60)
@given(links=st.lists(link, max_size=4), written=relative)
def test_opening_beneath_gives_only_what_is_inside(links: list[tuple[str, str, str, bool]], written: str) -> None:
    """Whatever opens beneath a mount holds the mount's own bytes, by either engine alike."""
    works = beneath.openat2_works
    outcomes: list[str] = []
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        work = build(Path(os.path.realpath(name)), links)
        for engine in (works, lambda: False):
            patch.setattr(beneath, "openat2_works", engine)
            try:
                handle = open_beneath(str(work), written, os.O_RDONLY)
            except (Conflict, NotFound) as error:
                outcomes.append(error.code)
                continue
            real = str(Path(f"/proc/self/fd/{handle}").readlink())
            os.close(handle)
            assert real == str(work) or real.startswith(f"{work}/")
            outcomes.append(real)
    assert outcomes[0] == outcomes[1]


def leaves(work: Path, written: str) -> bool:
    """True where following the path steps out of the mount by `..` on its way, or never ends."""
    here = work
    pending = written.split("/")
    for _ in range(200):
        if not pending:
            return False
        step = pending.pop(0)
        if step == "..":
            if here == work:
                return True
            here = here.parent
        elif step not in {"", "."} and (here / step).is_symlink():
            target = (here / step).readlink()
            if target.is_absolute():
                # Taken whole, as the gate does: an absolute link is judged by where it ends.
                here = Path(os.path.realpath(target))
            else:
                pending = [*target.parts, *pending]
        elif step not in {"", "."}:
            here = here / step
    return True
