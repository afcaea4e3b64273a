"""Terminal output as HTML: colours stay, nothing else of it is markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.terminal import to_html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("\x1b[32mok\x1b[0m done", '<span class="sgr-32">ok</span> done'),
        ("\x1b[1;31mbad\x1b[22;39m.", '<span class="sgr-bold sgr-31">bad</span>.'),
        ("\x1b[38;5;31mone of 256", "one of 256"),
        ("\x1b[2K\x1b]0;title\x07\x1b[?25lx\x08\x00y", "xy"),
        ("10 %\r55 %\r100 %\r\nover", "100 %\nover"),
    ],
)
def test_a_terminal_is_drawn_as_it_stands_at_the_end(text: str, html: str) -> None:
    """Colours become classes, a progress bar its last state, other sequences nothing, and markup text."""
    assert to_html(text) == html


@given(st.text(alphabet=st.sampled_from("\x1b[];<>&\"'m0123456789\r\n\x07abc"), max_size=60))
def test_nothing_in_it_is_markup_of_its_own(text: str) -> None:
    """Without our spans there is neither a tag nor a quote that ends one."""
    left = re.sub(r'<span class="sgr-(?:bold|\d\d)(?: sgr-\d\d)?">|</span>', "", to_html(text))
    assert not {"<", ">", '"', "'"} & set(left)
