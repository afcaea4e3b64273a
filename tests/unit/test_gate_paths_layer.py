"""The path layer looks again at what was resolved, on the needs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.directive import Mount
from kernel.errors import Invalid
from kernel.gate import mounts
from kernel.gate.decision import Denied
from kernel.gate.paths import PathLayer, open_beneath
from tests.unit.gate_case import case_of, request_of


@pytest.fixture(autouse=True)
def no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walls stand for the life of a process: each test has its own."""
    monkeypatch.setattr(mounts, "_walled", mounts.Places())


def judged(layer: PathLayer, place: Path, right: Rights, *mounted: Mount) -> Denied | None:
    case = case_of(replace(request_of("read"), mounts=mounted))
    case.needs.append(Need(Resource.target("exec", "git"), Rights.EXECUTE))
    case.needs.append(Need(Resource.target("file", str(place)), right))
    return anyio.run(layer.check, case)


def test_a_need_is_judged_by_mount_mode_and_denied_places(tmp_path: Path) -> None:
    """Inside passes; outside, read-only and denied places are refused, and the need is named."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    layer = PathLayer((str(home),))
    assert judged(layer, work / "f", Rights.WRITE, Mount(str(work))) is None
    assert judged(layer, work / "f", Rights.READ, Mount(str(work), "ro")) is None
    for place, right, mount in (
        (tmp_path / "f", Rights.READ, Mount(str(work))),
        (work / "f", Rights.WRITE, Mount(str(work), "ro")),
        (home / "keys", Rights.READ, Mount(str(tmp_path))),
        (home / "keys", Rights.READ, Mount(str(home))),
    ):
        refused = judged(layer, place, right, mount)
        assert isinstance(refused, Denied)
        assert refused.layer == "paths"
        assert refused.need == f"file:{place} [{right.letters()}]"


def test_a_layer_walls_off_what_it_denies_even_through_a_link(tmp_path: Path) -> None:
    """Denying a link denies what it points to, and no body can open it beneath any mount."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    layer = PathLayer((str(tmp_path / "link"),))
    assert isinstance(judged(layer, tmp_path / "real/x", Rights.READ, Mount(str(tmp_path))), Denied)
    with pytest.raises(Invalid):
        open_beneath(str(tmp_path), "real", os.O_RDONLY)


def test_a_call_without_paths_passes(tmp_path: Path) -> None:
    """The layer has nothing to say about programs and hosts."""
    case = case_of()
    case.needs.append(Need(Resource.target("net", "a.example", "443"), Rights.EXECUTE))
    assert anyio.run(PathLayer((str(tmp_path),)).check, case) is None
