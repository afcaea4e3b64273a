"""Hatch's build hook: the pages' assets are in place before the files of a distribution are collected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from webui.vendoring import Assets, AssetsMissing  # noqa: E402 -- below the root


class AssetsHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "assets"

    def dependencies(self) -> list[str]:
        return Assets(Path(self.root)).needs

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- the hook's form
        put(Path(self.root))


def put(root: Path) -> None:
    try:
        Assets(root).put()
    except AssetsMissing as missing:
        raise SystemExit(f"oxios: {missing}") from None


if __name__ == "__main__":
    put(ROOT)
