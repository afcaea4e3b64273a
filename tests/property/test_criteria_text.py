"""Criteria: reading what a criterion says of itself gives the same criterion."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Invalid
from ouroboros.criteria import canonical_text, parse_criterion

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=40)
TABLES = st.one_of(
    st.fixed_dictionaries({"file": TEXTS, "contains": TEXTS}),
    st.fixed_dictionaries({"file": TEXTS, "exists": st.booleans()}),
    st.fixed_dictionaries({"command": TEXTS, "succeeds": st.booleans()}),
    st.fixed_dictionaries({"command": TEXTS, "outputs": TEXTS}),
    st.fixed_dictionaries({"output": st.just(value=True), "contains": TEXTS}),
)
HEADS = st.sampled_from(
    [
        "file exists:",
        "file contains: a :: ",
        "file contains: ",
        'command outputs "',
        "output contains ",
        "output matches /",
        "file ",
        "",
    ]
)


@given(TABLES)
def test_a_table_survives_its_sentence(table: dict[str, object]) -> None:
    """What a table asks for is exactly what its canonical sentence asks for."""
    try:
        text = canonical_text(table)
    except Invalid:
        return
    found = parse_criterion(text)
    assert found.text == text
    assert found.executable
    for key in ("contains", "outputs"):
        if key in table:
            assert found.wanted == table[key]
    if "command" in table:
        assert found.subject == str(table["command"]).strip()


@given(HEADS, TEXTS)
def test_a_sentence_reads_itself(head: str, tail: str) -> None:
    """Parsing the canonical sentence of any parsed criterion gives that criterion again."""
    try:
        found = parse_criterion(head + tail)
    except Invalid:
        return
    if found.text:
        assert parse_criterion(found.text) == found
