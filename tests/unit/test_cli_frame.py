"""The frame of the command line: discovery, help, exit codes, and what errors look like."""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

import kernel.errors
from kernel.errors import AccessDenied, Invalid, KernelBug, OxiosError
from oxios import __main__ as program
from oxios.__main__ import build_parser, main
from oxios.commands import CommandModule, discover, find
from oxios.exits import BY_CODE, Exit, exit_of
from oxios.frame import colour_wanted, overrides_of, split_globals

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "aiohttp", "alembic", "anyio", "casbin", "cryptography", "faiss", "jsonschema_rs", "prometheus_client", "psycopg",
    "pydantic", "rich", "sentence_transformers", "shtab", "sqlalchemy", "sqlmodel", "structlog", "tomlkit", "torch",
    "yaml",
)  # fmt: skip


def _oxios(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oxios", *argv],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ) | env,
        timeout=60,
        check=False,
    )


def _inner(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """The parsers below an action that has subcommands; else none."""
    choices: object = action.choices
    return cast("dict[str, argparse.ArgumentParser]", choices) if isinstance(choices, dict) else {}


def _parsers(parser: argparse.ArgumentParser, path: str = "oxios") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield path, parser
    for action in parser._actions:
        for name, inner in _inner(action).items():
            yield from _parsers(inner, f"{path} {name}")


ALL = dict(_parsers(build_parser(discover())))
NOT_VERBS = {
    "a",
    "all",
    "an",
    "every",
    "everybody",
    "it",
    "one",
    "questions",
    "seeds",
    "sessions",
    "the",
    "what",
    "where",
}


@pytest.mark.parametrize("path", ALL)
def test_every_command_helps(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command and action has a description, a help text for each argument, and `--help` that ends with 0."""
    parser = ALL[path]
    assert parser.description, f"{path} has no description"
    for action in parser._actions:
        assert action.help or _inner(action), f"{path}: {action.dest} has no help"
        helped = {choice.dest for choice in getattr(action, "_choices_actions", ()) if choice.help}
        assert helped >= _inner(action).keys(), f"{path}: an action lacks its line of help"
    assert main([*path.split()[1:], "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_a_command_speaks_in_one_voice_wherever_it_is_explained() -> None:
    """A line in a list of commands is a phrase that begins with a verb, its own help a sentence."""
    for path, parser in ALL.items():
        described = parser.description or ""
        assert described[:1].isupper(), path
        assert described.endswith("."), path
        for action in parser._actions:
            for choice in getattr(action, "_choices_actions", ()):
                line, where = choice.help, f"{path} {choice.dest}"
                assert line[:1].islower(), where
                assert not line.endswith("."), where
                assert line.split()[0].rstrip(",") not in NOT_VERBS, f"{where}: {line}"


def test_help_tells_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`oxios --help` lists each number that the process may end with, and what it means."""
    main(["--help"])
    codes = capsys.readouterr().out.partition("exit codes:")[2]
    told = dict(line.split(maxsplit=1) for line in codes.strip().splitlines())
    assert set(told) == {str(code.value) for code in Exit}
    assert all(told.values())


def test_help_lists_every_module_of_the_package() -> None:
    """The walk finds each file of oxios/cli, and each says its name and purpose in one line."""
    modules = {file.stem for file in (ROOT / "oxios" / "cli").glob("*.py") if not file.stem.startswith("_")}
    commands = discover()
    assert len(commands) == len(modules)
    for name, command in commands.items():
        assert name == command.NAME
        assert command.HELP
        assert "\n" not in command.HELP
        assert find(name) is command


def test_help_imports_nothing_heavy_and_reads_no_settings(tmp_path: Path) -> None:
    """A broken settings file does not matter to `--help`, and no big library is loaded by it."""
    (tmp_path / "config.toml").write_text("not toml")
    code = (
        "import json, sys\n"
        "from oxios.__main__ import main\n"
        "assert main(['--help']) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ) | {"OXIOS_HOME": str(tmp_path)},
        timeout=60,
        check=True,
    )
    loaded: list[str] = json.loads(done.stderr)
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops.intersection(HEAVY)
    assert "kernel.settings" not in loaded
    assert "asyncio" not in tops
    assert done.stdout.startswith("usage: oxios")


def test_help_costs_little_cpu() -> None:
    """The whole process of `oxios --help` stays under 0.3 s of CPU, the cheapest of three."""
    costs: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert _oxios("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < 0.3


def test_the_program_runs_as_a_module() -> None:
    """`python -m oxios` is the command: help on stdout, and without a command help on stderr and 2."""
    done = _oxios("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "completion" in done.stdout
    bare = _oxios()
    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr == done.stdout
    version = _oxios("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("oxios ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["confg"], "did you mean `oxios config`?"),
        (["zzzzzz"], "see `oxios --help`"),
        (["--nonsense"], "--nonsense"),
        (["config", "get", "--nonsense"], "--nonsense"),
        (["config", "gat"], "gat"),
        (["--home"], "--home"),
        (["config", "get", "--set", "x"], "not KEY=VALUE"),
    ],
)
def test_wrong_command_lines_end_with_2_and_a_way_out(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown commands name the nearest one; wrong options say where the help is."""
    assert main(argv) == Exit.USAGE
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("error: ")
    assert "\ntry: " in captured.err
    assert words in captured.err


class Boom:
    """A command that does whatever the test needs."""

    NAME = "boom"
    HELP = "for a test"

    def __init__(self, act: Callable[[argparse.Namespace], int]) -> None:
        self.act = act

    def configure(self, parser: argparse.ArgumentParser, /) -> None:
        parser.add_argument("words", nargs="*", help="anything")

    def run(self, args: argparse.Namespace, /) -> int:
        return self.act(args)


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    def install(error: BaseException) -> None:
        def act(_args: argparse.Namespace) -> int:
            raise error

        command: CommandModule = Boom(act)

        def found(_name: str) -> CommandModule:
            return command

        monkeypatch.setattr(program, "find", found)

    return install


ENDS: list[tuple[BaseException, int, str]] = [
    (Invalid("it is bad", remedy="do better"), 2, "error: it is bad\ntry: do better\n"),
    (OxiosError("plain"), 1, "error: plain\n"),
    (AccessDenied("no", layer="roles"), 7, "error: no\n"),
    (ExceptionGroup("g", [ExceptionGroup("h", [Invalid("in a group")])]), 2, "error: in a group\n"),
    (ValueError("odd"), 70, "error: unexpected ValueError: odd\ntry: the same again with -v"),
    (KernelBug("broken"), 70, "error: unexpected KernelBug: broken\n"),
    (ExceptionGroup("g", [Invalid("a"), ValueError("odd")]), 70, "error: unexpected ValueError"),
    (KeyboardInterrupt(), 130, "interrupted\n"),
    (BaseExceptionGroup("g", [Invalid("a"), KeyboardInterrupt()]), 130, "interrupted\n"),
]


@pytest.mark.parametrize(("error", "code", "words"), ENDS, ids=lambda value: str(value)[:20])
def test_how_a_command_ends(
    boom: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    words: str,
) -> None:
    """Each kind of error has its exit code and its words; a traceback is shown with -v only."""
    boom(error)
    assert main(["boom"]) == code
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith(words)
    assert "Traceback" not in captured.err
    assert main(["boom", "-v"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code != 130)


def test_every_error_has_an_exit_code() -> None:
    """One table names every error of the kernel, and a new kind gets its parent's code."""
    kinds = [kind for kind in vars(kernel.errors).values() if isinstance(kind, type) and issubclass(kind, OxiosError)]
    assert {kind.code for kind in kinds} <= BY_CODE.keys()

    class Newer(Invalid):
        code = "newer"

    assert exit_of(Newer("x")) == Exit.USAGE


def test_global_flags_are_taken_anywhere_before_a_double_dash() -> None:
    """They may stand before or after the command; what follows `--` is the command's own."""
    given, rest = split_globals(
        ["-v", "config", "--set", "a.b=1", "get", "--set=c=2", "--no-color", "--", "--set", "-q"]
    )
    assert (given.verbose, given.quiet, given.no_color, given.sets) == (True, False, True, ["a.b=1", "c=2"])
    assert rest == ["config", "get", "--", "--set", "-q"]


def test_a_reader_that_leaves_is_no_error() -> None:
    """`oxios config schema | true` ends quietly, as any program that got SIGPIPE does."""
    producer = subprocess.Popen(
        [sys.executable, "-m", "oxios", "config", "schema", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert producer.stdout is not None
    assert producer.stderr is not None
    producer.stdout.close()
    said = producer.stderr.read()
    producer.stderr.close()
    assert (producer.wait(timeout=60), said) == (141, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_names_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script for each shell is printed and knows the commands there are."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in discover())


def test_bash_reads_its_completion() -> None:
    """The script is valid bash, and completes a command's name."""
    script = _oxios("completion", "bash").stdout
    probe = 'COMP_WORDS=(oxios conf); COMP_CWORD=1; _shtab_oxios oxios conf oxios; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{probe}"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["config"]


class Screen(io.StringIO):
    """A stream that is a terminal, or is none."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "flag", "env", "want"),
    [
        (True, False, {}, True),
        (False, False, {}, False),
        (True, True, {}, False),
        (True, False, {"NO_COLOR": "1"}, False),
        (True, False, {"NO_COLOR": ""}, True),
        (True, False, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, flag: bool, env: dict[str, str], want: bool
) -> None:
    """--no-color, a set NO_COLOR, a dumb terminal and a pipe each turn them off."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    args = argparse.Namespace(no_color=flag)
    assert colour_wanted(args, Screen(terminal=terminal)) is want


def test_the_verbosity_flags_set_the_log_level_and_set_beats_them() -> None:
    """-v is debug, -q is error, and an explicit --set log.level wins."""
    for argv, want in ((["-v"], "debug"), (["-q"], "error"), ([], None), (["-v", "--set", "log.level=info"], "info")):
        assert overrides_of(split_globals(argv)[0]).get("log.level") == want


@pytest.mark.parametrize("words", ["audit prove 3 --nonsense", "runs list --nonsense", "undo r1.1 --nonsense"])
def test_an_unknown_flag_leads_to_the_help_of_its_command(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that a command does not have is answered with that command's own help, not the program's."""
    assert main(words.split()) == Exit.USAGE
    command = words.removesuffix(" 3 --nonsense").removesuffix(" r1.1 --nonsense").removesuffix(" --nonsense")
    said = f"error: unrecognized arguments: --nonsense\ntry: oxios {command} --help\n"
    assert capsys.readouterr().err == said
