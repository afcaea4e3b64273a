"""Criteria: what is executable, what is left to a reader, and what is refused as half of either."""

from __future__ import annotations

import pytest

from kernel.errors import Invalid
from ouroboros.criteria import Criterion, canonical_text, is_near_miss, parse_criterion

FORMS = [
    ("file exists: notes/a b.txt", "file_exists", "notes/a b.txt", ""),
    ("FILE Exists :  x", "file_exists", "x", ""),
    ("file x.txt exists", "file_exists", "x.txt", ""),
    ('file "a b.txt" exists', "file_exists", "a b.txt", ""),
    ("`file exists: x`", "file_exists", "x", ""),
    ("file absent: x", "file_absent", "x", ""),
    ("file x is absent", "file_absent", "x", ""),
    ("file x does not exist", "file_absent", "x", ""),
    ("file contains: a b :: two  words", "file_contains", "a b", "two  words"),
    ('file contains: a :: "  kept  "', "file_contains", "a", "  kept  "),
    ('file a contains "x \\" y"', "file_contains", "a", 'x " y'),
    ("file matches: a :: /^\\d+$/", "file_matches", "a", "^\\d+$"),
    ("file a matches /x|y/", "file_matches", "a", "x|y"),
    ("command succeeds: make test", "command_succeeds", "make test", ""),
    ("Command Fails: false", "command_fails", "false", ""),
    ('command outputs "3 passed": make test', "command_outputs", "make test", "3 passed"),
    ("output contains: done", "output_contains", "", "done"),
    ('output contains "done"', "output_contains", "", "done"),
    ("output matches /^ok/", "output_matches", "", "^ok"),
    ("output matches schema", "schema", "", ""),
    ("Output matches the output schema", "schema", "", ""),
]


@pytest.mark.parametrize(("text", "kind", "subject", "wanted"), FORMS)
def test_each_form_is_understood(text: str, kind: str, subject: str, wanted: str) -> None:
    """Every documented form is read into its kind, subject and wanted text."""
    found = parse_criterion(text)
    assert (found.kind, found.subject, found.wanted) == (kind, subject, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "The report is easy to read",
        "file that the customer asked for exists",
        "the file exists: somewhere",
        "every file contains a licence",
        "output is short and contains no jargon",
        "exit code 0",
    ],
)
def test_prose_is_left_to_a_reader(text: str) -> None:
    """A sentence that is no form is kept word for word and decided by no program."""
    assert parse_criterion(text) == Criterion("text", text)


@pytest.mark.parametrize(
    "text",
    [
        "file exists:",
        "file exists:   ",
        'file exists: ""',
        "file contains: a.txt",
        "file contains: a.txt :: ",
        "file contains: :: x",
        "file matches: a.txt :: /(/",
        r"file matches: a.txt :: /(a)\1/",
        "file matches: a :: /(?=x)y/",
        f"output matches /{'x' * 1001}/",
        "command succeeds:",
        'command outputs "": x',
        'command outputs "x":',
        "command outputs: x",
        "output matches: hello",
        "output contains:",
    ],
)
def test_half_a_form_is_refused(text: str) -> None:
    """What begins as an executable form and is not whole is an error, never a silent prose criterion."""
    with pytest.raises(Invalid) as caught:
        parse_criterion(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"file": "a.txt", "exists": True}, "file exists: a.txt"),
        ({"file": "a.txt", "exists": False}, "file absent: a.txt"),
        ({"file": "a.txt", "absent": True}, "file absent: a.txt"),
        ({"file": "a", "contains": "x"}, "file contains: a :: x"),
        ({"file": "a", "contains": " x"}, 'file contains: a :: " x"'),
        ({"file": "a", "matches": "^x"}, "file matches: a :: /^x/"),
        ({"command": "make test", "succeeds": True}, "command succeeds: make test"),
        ({"command": "make test", "succeeds": False}, "command fails: make test"),
        ({"command": "date", "outputs": "20"}, 'command outputs "20": date'),
        ({"output": True, "contains": "x"}, "output contains: x"),
        ({"schema": True}, "output matches schema"),
    ],
)
def test_tables_mean_the_same_as_sentences(table: dict[str, object], text: str) -> None:
    """A criterion written as a table is the sentence it stands for."""
    assert canonical_text(table) == text


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"file": "a"},
        {"file": "a", "exists": "yes"},
        {"file": "a", "exists": True, "contains": "x"},
        {"file": 3, "exists": True},
        {"file": "a", "contains": 3},
        {"file": "a", "contains": ""},
        {"file": "a::b", "contains": "x"},
        {"command": "x", "contains": "y"},
        {"schema": False},
        {"output": "x", "contains": "y"},
        {"fil": "a", "exists": True},
    ],
)
def test_wrong_tables_are_refused(table: dict[str, object]) -> None:
    """A table that names no subject, no verb, two verbs or a wrong type is refused with the forms."""
    with pytest.raises(Invalid):
        canonical_text(table)


@pytest.mark.parametrize("item", [3, None, ["file exists: a"]])
def test_only_texts_and_tables_are_criteria(item: object) -> None:
    """Anything that is neither a sentence nor a table is refused."""
    with pytest.raises(Invalid):
        canonical_text(item)


def test_a_near_miss_is_told_apart_from_prose() -> None:
    """A sentence that looks like a misspelt form is recognised as such; prose is not."""
    assert is_near_miss(parse_criterion("files exists: a.txt"))
    assert is_near_miss(parse_criterion("command succeed: make"))
    assert not is_near_miss(parse_criterion("The text reads well: no jargon"))
    assert not is_near_miss(parse_criterion("file exists: a.txt"))
