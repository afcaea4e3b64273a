"""The `oxios` command: find the command asked for, run it, and turn what went wrong into words.

Guarantees: `--help` imports nothing heavy and reads no settings; every end of the process is a
code of `oxios.exits`; a traceback is shown with -v only.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from typing import cast

from kernel.errors import Invalid, OxiosError
from oxios.collector import process_of_ours
from oxios.commands import CommandModule, discover, find
from oxios.exits import MEANINGS, Exit, exit_of
from oxios.frame import Parser, add_globals, overrides_of, split_globals
from oxios.seat import current
from oxios.stdio import make_usable


def main(argv: list[str] | None = None) -> int:
    """Run one command line, by default this process's own; returns the exit code."""
    if argv is not None:
        return _code_of(argv)
    with process_of_ours():
        return _code_of(sys.argv[1:])


def _code_of(arguments: list[str]) -> int:
    verbose = bool({"-v", "--verbose"}.intersection(arguments))
    if current() is None:  # Else the streams are a terminal's, elsewhere.
        make_usable()
    try:
        code = _run(arguments)
        sys.stdout.flush()  # here, where a reader that left can be handled; at exit it cannot
    except SystemExit as stop:  # argparse ends so, after --help, --version and wrong arguments
        return stop.code if isinstance(stop.code, int) else Exit.FAILED
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 -- the last line: it says so
        return _end(error, verbose=verbose)
    return code


def build_parser(commands: Mapping[str, CommandModule]) -> argparse.ArgumentParser:
    """The whole parser of some commands: for help, for completion, for parsing one."""
    parser = Parser(
        prog="oxios",
        description="An operating system for AI agents: one gate, one journal, work that survives\nkill -9.",
        epilog=f"`oxios COMMAND --help` explains a command.\n\n{_exit_codes()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    add_globals(parser)
    places = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, command in commands.items():
        inner = places.add_parser(name, help=command.HELP, allow_abbrev=False)
        command.configure(inner)
    return parser


def _exit_codes() -> str:
    lines = (f"  {code.value:<3}  {meaning}" for code, meaning in MEANINGS.items())
    return "\n".join(("exit codes:", *lines))


def _run(arguments: list[str]) -> int:
    given, rest = split_globals(arguments)
    if not rest or rest[0].startswith("-"):
        return _top(rest)
    command = find(rest[0])
    if command is None:
        raise _unknown(rest[0])
    parser = build_parser({rest[0]: command})
    args, unknown = parser.parse_known_args(rest)
    if unknown:
        args.asked.error(f"unrecognized arguments: {' '.join(unknown)}")
    vars(args).update(vars(given), argv=arguments, program=main, whole_parser=lambda: build_parser(discover()))
    overrides_of(args)  # a --set that cannot be read is told before anything is done
    with ExitStack() as args.ends:
        return int(command.run(args))


def _top(rest: list[str]) -> int:
    """`oxios`, `oxios --help`, `oxios --version`."""
    if rest[:1] == ["--version"]:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 -- 20 ms, for this flag only

        try:
            print(f"oxios {version('oxios')}")
        except PackageNotFoundError:
            print("oxios (not installed; run from a checkout)")
        return Exit.OK
    parser = build_parser(discover())
    if not rest:
        parser.print_help(sys.stderr)
        return Exit.USAGE
    parser.parse_args(rest)
    raise Invalid(f"{' '.join(rest)}: a command must follow", remedy="see `oxios --help`")


def _unknown(name: str) -> Invalid:
    names = list(discover())
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    remedy = f"did you mean `oxios {near[0]}`?" if near else "see `oxios --help`"
    return Invalid(f"there is no command {name!r}", remedy=remedy)


def _end(error: BaseException, *, verbose: bool) -> int:
    """The exit code of an error, said in words; a task group's errors count by the gravest of them."""
    leaves = list(_leaves(error))
    if verbose and isinstance(error, Exception):
        _traceback(error)
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        _to_stderr("interrupted")
        return Exit.INTERRUPTED
    for leaf in leaves:
        if isinstance(leaf, Exception) and not isinstance(leaf, (OxiosError, BrokenPipeError)):
            return _no_room(leaf) if _is_full(leaf) else _bug(leaf, verbose=verbose)
    for leaf in leaves:
        if isinstance(leaf, OxiosError):
            return _explain(leaf)
    return _reader_left()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for inner in group.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _explain(error: OxiosError) -> int:
    _to_stderr(f"error: {error.message}")
    if error.remedy:
        _to_stderr(f"try: {error.remedy}")
    return exit_of(error)


def _bug(error: Exception, *, verbose: bool) -> int:
    first = str(error).strip().split("\n")[0]
    _to_stderr(f"error: unexpected {type(error).__name__}{f': {first}' if first else ''}")
    if not verbose:
        _to_stderr("try: the same again with -v, and report the traceback")
    return Exit.BUG


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def _no_room(error: Exception) -> int:
    """What was printed is not whole; the final flush is not to say it again."""
    _to_stderr(f"error: what this printed or wrote is not whole: {error}")
    _to_stderr("try: make room there, and the same again")
    _leave_stdout()
    return Exit.FAILED


def _traceback(error: Exception) -> None:
    import traceback  # noqa: PLC0415 -- only ever needed here

    _to_stderr("".join(traceback.format_exception(error)).rstrip())


def _reader_left() -> int:
    """Whoever read stdout closed it (`| head`): end quietly, and let the final flush go nowhere."""
    _leave_stdout()
    return Exit.READER_LEFT


def _leave_stdout() -> None:
    if current() is None:  # Else stdout is a terminal's of its own, and the process goes on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
