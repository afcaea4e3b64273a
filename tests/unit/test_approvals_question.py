"""What a person is shown about a call."""

from __future__ import annotations

from kernel.gate.decision import Question
from kernel.gate.question import REASON_CHARS_MAX, TARGET_CHARS_MAX, plain, question_of
from kernel.ports.sandbox import Tier
from kernel.syscalls.declare import Effect
from kernel.syscalls.target import CommandTarget, NameTarget, PathTarget, Target, UrlTarget
from tests.unit.gate_case import request_of

FOLDER = PathTarget("/w", "", "/w", exists=True, is_dir=True)
NEW = PathTarget("/w", "f", "/w/f", exists=False, is_dir=False)
COMMAND = CommandTarget(("git", "commit", "-m", "a b"), shell=False, programs=("git",), network=False)
ONLINE = CommandTarget(("git push",), shell=True, programs=("git",), network=True)
PAGE = UrlTarget("https://a.example/x", "https", "a.example", 443, ("8.8.8.8",))


def asked(
    *targets: Target,
    effect: Effect = Effect.EXTERNAL,
    tier: Tier = "bubblewrap",
    goal: str = "",
    perilous: str = "",
    text: str = "",
) -> Question:
    request = request_of("tool", effect=effect, text=text)
    return question_of(request, targets, keys=("tool",), tier=tier, goal=goal, always=perilous)


def test_the_resolved_target_is_shown() -> None:
    """The real path, the exact command with its folder, the address with what it resolved to."""
    assert asked(NEW).target == "/w/f (new)"
    assert asked(COMMAND, FOLDER).target == "git commit -m 'a b'  [in /w]"
    assert asked(ONLINE).target == "git push (with network)"
    assert asked(PAGE).target == "https://a.example/x (8.8.8.8)"
    assert asked(NameTarget("mcp", "server/tool")).target == "mcp:server/tool"
    assert asked(text="hello").target == '{"text":"hello"}'


def test_the_reason_names_who_and_what_for() -> None:
    """The goal where there is one, else the arguments; danger comes first."""
    assert asked(goal="tidy up").why.endswith("calls tool for: tidy up")
    assert '"text":"x"' in asked(text="x").why
    assert asked(perilous="rm would delete /").why.startswith("rm would delete /; ")


def test_the_consequence_fits_what_confines_it() -> None:
    """No sandbox, network, neither: three different things become possible."""
    assert "unconfined" in asked(COMMAND, tier="none").enables
    assert "send anything" in asked(ONLINE).enables
    assert "no network" in asked(COMMAND).enables
    assert "a.example learns" in asked(PAGE).enables
    assert "what the agent wrote" in asked(NEW, effect=Effect.WRITE).enables
    assert "cannot be taken back" in asked().enables


def test_only_a_write_can_be_undone() -> None:
    """Local writes have an inverse, external effects none."""
    assert asked(NEW, effect=Effect.WRITE).undoable is True
    assert asked(COMMAND).undoable is False


def test_nothing_shown_can_act_on_a_terminal_or_hide() -> None:
    """Control characters, direction marks and invisible ones become escapes; line breaks stay."""
    assert plain("a\x1b[2J\rb\u202ec\u200bd\ne\x07é") == "a\\x1b[2J\\rb\\u202ec\\u200bd\ne\\x07é"
    assert "\x1b" not in asked(text="\x1b]0;x\x07").why


def test_long_texts_are_bounded() -> None:
    """A page of command is cut and says how long it was; one that just fits is whole."""
    fits = CommandTarget(("x" * TARGET_CHARS_MAX,), shell=True, programs=("x",), network=False)
    assert asked(fits).target == fits.argv[0]
    long = CommandTarget(("x" * (TARGET_CHARS_MAX + 1),), shell=True, programs=("x",), network=False)
    assert asked(long).target.endswith(f"… ({TARGET_CHARS_MAX + 1} characters)")
    assert len(asked(goal="g" * 10_000).why) < REASON_CHARS_MAX + 30
