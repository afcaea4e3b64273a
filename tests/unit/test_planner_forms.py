"""What the planner understands: a goal on the left, the calls it makes on the right."""

from __future__ import annotations

import json

import pytest

from kernel.adapters.providers.planner.forms import EXAMPLES
from tests.unit.planner_world import TABLE, Call, fails, follow_goal

R = "result of read"

SAID: dict[str, list[list[Call]]] = {
    # looking
    "list src": [[("ls", {"path": "src"})]],
    "List the files here.": [[("ls", {"path": "."})]],
    "list .": [[("ls", {"path": "."})]],
    "What files are in src?": [[("ls", {"path": "src"})]],
    "read a.txt, b.txt and c.txt": [[("read", {"path": f"{name}.txt"}) for name in "abc"]],
    "What is in config.toml?": [[("read", {"path": "config.toml"})]],
    "Tell me what is in x.txt": [[("read", {"path": "x.txt"})]],
    "Show me the contents of src/main.py": [[("read", {"path": "src/main.py"})]],
    'Please read the file "my notes.txt".': [[("read", {"path": "my notes.txt"})]],
    "read src/": [[("ls", {"path": "src/"})]],
    "What files are here?": [[("ls", {"path": "."})]],
    "find *.py in src": [[("find", {"pattern": "*.py", "path": "src"})]],
    "Find files named *.md": [[("find", {"pattern": "*.md"})]],
    "search for LATER in src": [[("grep", {"pattern": "LATER", "path": "src"})]],
    'Search src for "f(x)"': [[("grep", {"pattern": "f(x)", "path": "src", "fixed": True})]],
    "grep for `^def ` in src": [[("grep", {"pattern": "^def ", "path": "src"})]],
    'Look for "LATER" in the src directory': [[("grep", {"pattern": "LATER", "path": "src"})]],
    "search the web for anyio task groups": [[("web_search", {"query": "anyio task groups"})]],
    "fetch https://example.com/?a=1&b=2": [[("web_fetch", {"url": "https://example.com/?a=1&b=2"})]],
    # writing
    'write "one\\ntwo" to a.txt': [[("write", {"path": "a.txt", "content": "one\ntwo"})]],
    "write 'one\\ntwo' to a.txt": [[("write", {"path": "a.txt", "content": "one\\ntwo"})]],
    "write hello to a.txt": [[("write", {"path": "a.txt", "content": "hello"})]],
    'create a file called a.txt containing "x"': [[("write", {"path": "a.txt", "content": "x"})]],
    "create an empty file a.txt": [[("write", {"path": "a.txt", "content": ""})]],
    "Create a.py:\n```python\nprint('x; then read y')\n```": [
        [("write", {"path": "a.py", "content": "print('x; then read y')\n"})]
    ],
    "Write the following to a.txt.\n\n~~~\nx\n~~~": [[("write", {"path": "a.txt", "content": "x\n"})]],
    'write "a" to a.txt, "b" to b.txt': [
        [("write", {"path": "a.txt", "content": "a"})],
        [("write", {"path": "b.txt", "content": "b"})],
    ],
    'create a.txt with "A" and b.txt with "B"': [
        [("write", {"path": "a.txt", "content": "A"})],
        [("write", {"path": "b.txt", "content": "B"})],
    ],
    "create a.txt with \u201eGuten Tag\u201c and b.txt with \u300cB\u300d": [
        [("write", {"path": "a.txt", "content": "Guten Tag"})],
        [("write", {"path": "b.txt", "content": "B"})],
    ],
    "write \u2018it\u2019 to a.txt": [[("write", {"path": "a.txt", "content": "it"})]],
    "write \u00bbx\u00ab to a.txt": [[("write", {"path": "a.txt", "content": "x"})]],
    "put a file a.txt with 'x' in it": [[("write", {"path": "a.txt", "content": "x"})]],
    'append the line "x" to a.txt': [
        [("read", {"path": "a.txt"})],
        [("write", {"path": "a.txt", "content": f"{R}\nx\n"})],
    ],
    'replace all "a" with "b" in c.txt': [
        [("edit", {"path": "c.txt", "old": "a", "new": "b", "replace_all": True})],
    ],
    'In c.ini, replace "a" with "b"': [[("edit", {"path": "c.ini", "old": "a", "new": "b"})]],
    "copy a.txt to out/": [[("read", {"path": "a.txt"})], [("write", {"path": "out/a.txt", "content": R})]],
    "move a.txt to b.txt": [[("exec", {"argv": ["mv", "--", "a.txt", "b.txt"]})]],
    "delete a.txt and b.txt": [[("exec", {"argv": ["rm", "--", "a.txt", "b.txt"]})]],
    "create a folder named out": [[("exec", {"argv": ["mkdir", "-p", "--", "out"]})]],
    # running
    "run `python3 -c 'print(1)'`": [[("exec", {"argv": ["python3", "-c", "print(1)"]})]],
    "run `a | b`": [[("exec", {"command": "a | b"})]],
    "run pytest -q": [[("exec", {"argv": ["pytest", "-q"]})]],
    "Run `a` and `b`": [[("exec", {"argv": ["a"]})], [("exec", {"argv": ["b"]})]],
    # what flows from one to the next
    "Read a.txt and write its contents to b.txt.": [
        [("read", {"path": "a.txt"})],
        [("write", {"path": "b.txt", "content": R})],
    ],
    "write the contents of a.txt to b.txt": [
        [("read", {"path": "a.txt"})],
        [("write", {"path": "b.txt", "content": R})],
    ],
    "count the lines of a.txt and write the count to n.txt": [
        [("read", {"path": "a.txt"})],
        [("write", {"path": "n.txt", "content": "1"})],
    ],
    "Ask me for my name, then write the answer to name.txt": [
        [("ask_user", {"question": "Please give your name."})],
        [("write", {"path": "name.txt", "content": "result of ask_user"})],
    ],
    "save the output of `date` to d.txt": [
        [("exec", {"argv": ["date"]})],
        [("write", {"path": "d.txt", "content": "result of exec"})],
    ],
    # several
    "1. list src\n2. read a.txt": [[("ls", {"path": "src"})], [("read", {"path": "a.txt"})]],
    "list src; read a.txt": [[("ls", {"path": "src"})], [("read", {"path": "a.txt"})]],
    "list src and read a.txt": [[("ls", {"path": "src"}), ("read", {"path": "a.txt"})]],
    "list src, then read a.txt": [[("ls", {"path": "src"})], [("read", {"path": "a.txt"})]],
    "Read a.txt and\nwrite its contents to\nb.txt.": [
        [("read", {"path": "a.txt"})],
        [("write", {"path": "b.txt", "content": R})],
    ],
}


@pytest.mark.parametrize("goal", SAID, ids=lambda goal: goal[:40])
def test_an_instruction_becomes_these_calls(goal: str) -> None:
    """The calls, their arguments and which of them go together are exactly these, and the tools take them."""
    followed = follow_goal(goal)
    assert followed.rounds == SAID[goal]
    for name, arguments in followed.calls:
        TABLE.get(name).args.model_validate_json(json.dumps(arguments))


NOT_SAID = {
    "Make the code nicer.": "do not understand",
    "summarise a.txt": "language model",
    "Write a poem to poem.txt": "word for word",
    "write hi to a.txt and b.txt": "one file each",
    "Create three files: a1, a2 and a3": "not given word for word",
    "Lies a.txt und b.txt": "in English",
    "Run the tests": "backticks",
    "Run `a` with care": "backticks",
    "read it": "no file came before",
    "write it to a.txt": "nothing came before",
    "remember that I like tea": "`remember`",
    "download https://example.com/a.zip to a.zip": "text",
    'write "x" to out/': "directory",
    "```plan\n[{}]\n```": "entry 1",
    "Create a.py:\n```\nnever closed": "no end",
}


@pytest.mark.parametrize("goal", NOT_SAID, ids=lambda goal: goal[:30])
def test_what_it_cannot_do_it_says_and_does_not(goal: str) -> None:
    """Nothing is called; the report says why, and what would be understood."""
    followed = follow_goal(goal)
    assert followed.calls == []
    assert NOT_SAID[goal] in followed.text
    assert "I am the embedded planner: no language model" in followed.text


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_the_report_offers_is_understood(example: str) -> None:
    """Every example form that the planner names is one that it carries out, or says it has no tool for."""
    filled = example.replace("https://…", "https://example.com").replace("…", "for a name")
    followed = follow_goal(filled)
    assert "Instructions carried out: 1 of 1." in followed.text or followed.text == "text"


def test_a_sentence_after_one_not_understood_does_not_take_the_wrong_it() -> None:
    """`it` means what came just before, or nothing: never something further back."""
    followed = follow_goal("Read a.txt. Frobnicate a.txt. Write the result to b.txt.")
    assert [name for name, _ in followed.calls] == ["read"]
    assert "nothing came before" in followed.text


def test_constraints_are_neither_acted_on_nor_complained_about() -> None:
    """`Do not …` asks for nothing, and is not reported as something left undone."""
    followed = follow_goal("Do not touch b.txt. You must not delete c.txt. Read a.txt.")
    assert followed.calls == [("read", {"path": "a.txt"})]
    assert "Instructions carried out: 1 of 1." in followed.text


def test_quoted_text_is_never_an_instruction() -> None:
    """Verbs and separators inside quotes, backticks and fences are content."""
    content = "delete x; then run `rm` and read y.\nList z"
    followed = follow_goal(f"Write '{content.replace(chr(10), ' ')}' to a.txt, then read a.txt")
    assert [name for name, _ in followed.calls] == ["write", "read"]


def test_an_answer_in_the_goal_is_the_whole_final_text() -> None:
    """`say "…"` gives exactly that, where everything was carried out, and a report where not."""
    assert follow_goal('Read a.txt, then say "all \\u00fc done".').text == "all ü done"
    assert "failed" in follow_goal('Read a.txt, then say "done".', fails("read")).text


def test_an_empty_goal_is_answered_with_what_is_understood() -> None:
    """No instruction is said to be none."""
    assert follow_goal("").text.startswith("There is no instruction in the goal")
