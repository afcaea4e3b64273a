"""What every command shares: the global flags, settings, and where words go.

Data goes to stdout by `print`; talk goes to stderr by `say`. `settings_for(args)` loads the
settings with the flags applied; `oxios --help` never calls it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

from kernel.errors import Invalid
from oxios.exits import Exit
from oxios.seat import current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.settings import Settings
    from kernel.settings.load import Resolved
    from oxios.curtain import Curtain

    _SubParsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- no public name  # pyright: ignore[reportPrivateUsage] -- as said
else:
    _SubParsers = argparse._SubParsersAction  # noqa: SLF001 -- as above, and it takes no parameter at run time


class _Actions(_SubParsers):
    """Commands: the line in the list, as a sentence, is also what the command's own help says, unless it says more."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        line = str(options.get("help") or "")
        options.setdefault("description", f"{line[:1].upper()}{line[1:]}." if line else None)
        return super().add_parser(name, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        super().__call__(parser, namespace, values, option_string)
        if "asked" not in namespace:  # By the innermost, which is done first.
            namespace.asked = cast("dict[str, Parser]", self.choices)[values[0]]


class Parser(argparse.ArgumentParser):
    """Errors in the house's form; subparsers inherit it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("action", "parsers", _Actions)

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.USAGE, f"error: {message}\ntry: {self.prog} --help\n")


def add_globals(parser: argparse.ArgumentParser) -> None:
    """The flags that every command takes, before or after its name."""
    group = parser.add_argument_group("everywhere")
    group.add_argument("--home", metavar="DIR", help="the home directory (default: $OXIOS_HOME or ~/.oxios)")
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="sets",
        help="override a setting; may be repeated",
    )
    group.add_argument("--no-color", action="store_true", help="no colours (NO_COLOR is honoured too)")
    group.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    group.add_argument("-v", "--verbose", action="store_true", help="log more, and show tracebacks")


def at_least_one(text: str) -> int:
    """An argument's type: a whole number from 1. Raises: ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def split_globals(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The global flags wherever they stand before a `--`, and the rest in order."""
    stop = argv.index("--") if "--" in argv else len(argv)
    parser = Parser(prog="oxios", add_help=False, allow_abbrev=False)
    add_globals(parser)
    found, rest = parser.parse_known_args(argv[:stop])
    return found, rest + argv[stop:]


def overrides_of(args: argparse.Namespace) -> dict[str, str]:
    """`--set` as a mapping, the last of a key winning; -v and -q set the log level before them.

    Raises: Invalid.
    """
    overrides: dict[str, str] = {}
    if args.verbose or args.quiet:
        overrides["log.level"] = "debug" if args.verbose else "error"
    for text in args.sets:
        key, equals, value = str(text).partition("=")
        if not equals or not key.strip():
            raise Invalid(f"--set {text}: not KEY=VALUE", remedy="write e.g. --set approval.mode=manual")
        overrides[key.strip()] = value
    return overrides


def settings_for(args: argparse.Namespace) -> Settings:
    """The settings in force for this command; until it ends the process logs as they say.

    Raises: SettingsInvalid, Invalid.
    """
    from kernel.clock import SystemClock  # noqa: PLC0415 -- `oxios --help` needs none of these
    from kernel.observe.logging import configure_logging  # noqa: PLC0415 -- as above

    settings = resolved_for(args).settings
    if current() is None:  # A server logs as its own settings say, whoever it works for.
        undo = configure_logging(settings, SystemClock(), os.environ)
        if "ends" in args:
            args.ends.callback(undo)
    return settings


def resolved_for(args: argparse.Namespace) -> Resolved:
    """The settings of this command's layers, and where each value comes from. Raises: SettingsInvalid, Invalid."""
    from kernel.settings.load import resolve  # noqa: PLC0415 -- `oxios --help` needs no settings

    return resolve(cwd=here(), env=environment(), home=home_flag(args), overrides=overrides_of(args))


def home_flag(args: argparse.Namespace) -> Path | None:
    return place(args.home) if args.home else None


def home_of_command(args: argparse.Namespace) -> Path:
    """The home that the command is for, whether or not its settings can be read."""
    from kernel.settings.load import home_of  # noqa: PLC0415 -- `oxios --help` needs no settings

    return (home_flag(args) or home_of(environment())).expanduser().absolute()


def here() -> Path:
    """The folder that the command was called in. Raises: Invalid, where it was removed."""
    seat = current()
    try:
        return Path.cwd() if seat is None else seat.cwd
    except FileNotFoundError:
        raise Invalid("the folder that this was called in is not there any more", remedy="cd to one that is") from None


def place(name: str | Path) -> Path:
    """A path that the command was given, seen from where it was called."""
    return here() / Path(name).expanduser()


def environment() -> Mapping[str, str]:
    """The environment that the command was called in; what a server is told of it, where one carries the command."""
    seat = current()
    return os.environ if seat is None else seat.env


def read_stdin(args: argparse.Namespace, bytes_max: int) -> bytes:
    """At most so much of standard input. It is kept, for a server that carries the command."""
    args.stdin_read = sys.stdin.buffer.read(bytes_max)
    return args.stdin_read


def say(text: str, args: argparse.Namespace | None = None) -> None:
    """Talk to the person, on stderr; with `args`, silent under -q, and never over a question that stands."""
    if args is None:
        print(text, file=sys.stderr)
    elif not args.quiet:
        curtain: Curtain | None = getattr(args, "curtain", None)
        show = curtain.show if curtain is not None else _now
        show(lambda: print(text, file=sys.stderr))


def _now(line: Callable[[], None]) -> None:
    line()


def colour_wanted(args: argparse.Namespace, stream: IO[str]) -> bool:
    """A terminal, and nobody asked for none. Source: no-color.org."""
    env = environment()
    plain = args.no_color or bool(env.get("NO_COLOR")) or env.get("TERM") == "dumb"
    return stream.isatty() and not plain
