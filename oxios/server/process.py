"""The server's process: the kernel, the pages and the socket for commands, in one task group.

Guarantees: a task that fails ends the process; the address is taken before the kernel is opened, and
listened on once all is ready. On the first signal nothing new is taken, commands and browsers are let
go, runs under way are recorded as interrupted and the journal is flushed; a second ends it at once,
as a crash would, which loses nothing that was committed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from kernel.boot import Kernel, open_kernel
from kernel.clock import SystemClock
from kernel.errors import AccessDenied, InstanceLocked
from kernel.log import get_logger
from kernel.observe.logging import configure_logging
from kernel.settings.load import Resolved, resolve
from ouroboros.projection import PROJECTORS
from oxios import __version__, collector, wire
from oxios.exits import Exit
from oxios.frame import overrides_of
from oxios.server import address, notify
from oxios.server.asker import HouseAsker
from oxios.server.carry_on import carry_on
from oxios.server.host import Host
from oxios.server.http import HttpServer
from oxios.server.logfile import keep_short
from oxios.server.protocol import widen
from oxios.server.record import Record, recorded, serving
from oxios.server.streams import routed
from oxios.session import operator
from webui.app import make_app
from webui.asker import WebAsker
from webui.house import House, WebOptions, open_house

if TYPE_CHECKING:
    from kernel.settings import Settings

Main = Callable[[list[str]], int]
Ready = Callable[[str, str], None]
"""Told the URL and the sign-in link, once the server answers."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_log = get_logger("serve")


def serve(args: argparse.Namespace, main: Main, ready: Ready) -> int:
    """Until a signal ends it. `main` is the program, for commands.

    Raises: InstanceLocked, Unavailable (the address), AccessDenied (it is public and there is no
    password), and what opening a kernel raises.
    """
    settings = settings_of(args)
    args.ends.callback(configure_logging(settings, SystemClock(), os.environ))
    other = serving(settings.home)
    if other is not None:
        raise InstanceLocked(
            f"a server works in {settings.home} already: {other.url} (process {other.pid})",
            remedy="use it, or stop it: oxios stop",
        )
    bound = address.bind(settings.server.host, settings.server.port)
    widen()
    try:
        with routed():
            return anyio.run(_Process(args, settings, bound, main, ready).run)
    finally:
        bound.close()


def settings_of(args: argparse.Namespace) -> Settings:
    """The server's own: of no project, whatever folder it was started in. Raises: SettingsInvalid, Invalid."""
    return resolved_of(args).settings


def resolved_of(args: argparse.Namespace) -> Resolved:
    """The same, with where each value comes from."""
    home = Path(args.home).expanduser() if args.home else None
    return resolve(env=os.environ, overrides=overrides_of(args), home=home, project=False)


class _Process:
    def __init__(
        self, args: argparse.Namespace, settings: Settings, bound: socket.socket, main: Main, ready: Ready
    ) -> None:
        self._args = args
        self._settings = settings
        self._bound = bound
        self._main = main
        self._ready = ready
        self._url = address.url_of(bound, settings.server)
        self._stopping = anyio.Event()

    async def run(self) -> int:
        async with anyio.create_task_group() as outer:
            outer.start_soon(self._signals)
            await self._within_kernel()
            outer.cancel_scope.cancel()
        return Exit.OK

    async def _within_kernel(self) -> None:
        page = WebAsker()
        said = self._settings.server
        secure = said.secure_cookies or self._url.startswith("https:")
        options = WebOptions(self._url, said.allowed_hosts, secure)
        async with AsyncExitStack() as stack:
            kernel = await stack.enter_async_context(
                open_kernel(
                    self._settings,
                    operator=operator(),
                    asker=HouseAsker(page),
                    more_projectors=PROJECTORS,
                    reload_settings=self._resolved_now,
                )
            )
            house = await stack.enter_async_context(open_house(kernel, page, options))
            self._require_password(house)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            await self._serve(kernel, house, tasks)
            tasks.cancel_scope.cancel()

    async def _serve(self, kernel: Kernel, house: House, tasks: TaskGroup) -> None:
        http = HttpServer(make_app(house), self._bound)
        host = Host(kernel, tasks, main=self._main, settings_now=self._settings_now, talks=house.conversations)
        taking = anyio.CancelScope()
        socket_path = kernel.settings.home / wire.SOCKET_NAME
        record = Record(os.getpid(), self._url, address.reached_at(self._bound), kernel.clock.now_us(), __version__)
        listening = wire.listen(kernel.settings.home)
        try:
            with recorded(kernel.settings.home, record):
                tasks.start_soon(_within, taking, host, listening)
                tasks.start_soon(http.run_until_ended)
                tasks.start_soon(keep_short, kernel.settings.home, kernel.clock)
                await carry_on(kernel, house.conversations, self._args, tasks)
                await http.up.wait()
                collector.started()
                self._ready(self._url, f"{self._url}{house.doors.issue_link()}")
                notify.tell("READY=1")
                await self._stopping.wait()
                notify.tell("STOPPING=1")
        finally:
            socket_path.unlink(missing_ok=True)
        _log.info("draining")
        taking.cancel()
        house.hub.close()
        http.end()
        await host.close()
        await http.ended.wait()

    def _settings_now(self) -> Settings:
        return settings_of(self._args)

    def _resolved_now(self) -> Resolved:
        return resolved_of(self._args)

    def _require_password(self, house: House) -> None:
        """Raises: AccessDenied."""
        if not address.is_loopback(self._bound) and not house.doors.has_password():
            raise AccessDenied(
                f"{self._url} can be reached from other machines, and the operator has no password",
                layer="server",
                remedy="set one with `oxios users password`, or serve on 127.0.0.1",
            )

    async def _signals(self) -> None:
        """A terminal that hangs up is not ours to obey where `nohup` said so."""
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        with anyio.open_signal_receiver(*heard) as received:
            async for number in received:
                if self._stopping.is_set():
                    self._end_at_once(number)
                self._stopping.set()

    def _end_at_once(self, number: signal.Signals) -> None:
        """What is not committed is lost; the next start finds runs interrupted, as after a crash."""
        _log.warning("ended_at_once", signal=number.name)
        os._exit(128 + number)


async def _within(scope: anyio.CancelScope, host: Host, listening: socket.socket) -> None:
    with scope:
        await host.serve(listening)
