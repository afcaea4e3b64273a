"""What the journal's tables learn from the entries of this ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kernel.journal.projection import Projector
from ouroboros import seedbook, sessionrows

PROJECTORS: Final[Mapping[str, Projector]] = {**seedbook.PROJECTORS, **sessionrows.PROJECTORS}
