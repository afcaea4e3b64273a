"""The forms an instruction may have, most particular first: the first that fits is taken."""

from __future__ import annotations

from typing import Final

from kernel.adapters.providers.planner.draft import Form
from kernel.adapters.providers.planner.forms.act import ACT, ASIDE, BEYOND, TALK
from kernel.adapters.providers.planner.forms.files import COUNT, FILES, READ
from kernel.adapters.providers.planner.forms.look import LOOK

FORMS: Final[tuple[Form, ...]] = (*COUNT, *ACT, *LOOK, *FILES, *TALK, *READ, *ASIDE, *BEYOND)

EXAMPLES: Final = (
    "list src",
    "read a.txt and b.txt",
    'write "text" to a.txt',
    'append "text" to a.txt',
    'replace "old" with "new" in a.txt',
    "copy a.txt to b.txt",
    "count the lines of a.txt",
    "find *.py in src",
    'search for "word" in src',
    "run `command`",
    "fetch https://…",
    "search the web for …",
    "ask me …",
    'say "text"',
)
"""What the report offers to whoever wrote something else."""
