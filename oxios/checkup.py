"""What `oxios doctor` looks at: each check tries the thing itself, and says what to do about it.

Guarantees: checks change nothing but the pid in a free lock file (only `mend` does: modes, a missing
home, and tables that an earlier release made); a check that cannot be made is a failure that says so, never left out.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import anyio

from kernel.boot import make_providers, make_sandbox
from kernel.clock import SystemClock
from kernel.errors import InstanceLocked, Invalid, OxiosError
from kernel.gate.role_policy import POLICY_NAME, parse_policy
from kernel.journal.keys import PRIVATE, load_public
from kernel.journal.lock import instance_lock
from kernel.journal.opening import JournalFiles
from kernel.journal.verify import verify
from kernel.ports.store import StoreOutdated
from kernel.storage import make_store

if TYPE_CHECKING:
    from kernel.settings import Settings

Status: TypeAlias = Literal["ok", "warn", "fail"]

_CONNECT_S: Final = 3.0
_MIB: Final = 1024 * 1024
DISK_FAIL_BYTES: Final = 64 * _MIB
DISK_WARN_BYTES: Final = 1024 * _MIB
PYTHON_MIN: Final = (3, 11)
_RESTORE: Final = "restore keys/ from a backup"
_OPEN: Final = 0o077
"""Permission bits of group and others: none may be set in the home."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `remedy` is empty where nothing is to be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


async def checks(settings: Settings) -> AsyncIterator[Check]:
    """Every check, as it is made."""
    yield python()
    yield home(settings)
    yield modes(settings)
    yield policy(settings)
    yield disk(settings)
    yield lock(settings)
    yield journal(settings)
    yield await sandbox(settings)
    for name in settings.providers:
        yield await provider(settings, name)
    yield search(settings)


def python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON_MIN:
        return Check("python", "fail", f"Python {version} is too old", "install Python 3.11 or newer")
    if not __debug__:
        return Check("python", "fail", "assertions are switched off", "run without -O and without PYTHONOPTIMIZE")
    return Check("python", "ok", f"Python {version}")


def home(settings: Settings) -> Check:
    place = settings.home
    if not place.exists():
        above = next(folder for folder in place.parents if folder.exists())
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            return Check("home", "fail", f"{place} cannot be made in {above}", "set OXIOS_HOME to another place")
        return Check("home", "warn", f"{place} does not exist yet", "it is made by the first run, or by --fix")
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return Check("home", "fail", f"{place} is on a read-only disk", "mount it for writing, or set OXIOS_HOME")
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return Check("home", "fail", f"{place} cannot be read and written", f"sudo chown -R {os.getuid()} {place}")
    return Check("home", "ok", str(place))


def modes(settings: Settings) -> Check:
    """Whether only the owner can look into the home."""
    loose = [place for place in _private(settings) if _is_open(place)]
    if loose:
        names = ", ".join(str(place) for place in loose[:5])
        return Check("modes", "fail", f"open to others: {names}", "run `oxios doctor --fix`, or chmod go-rwx")
    return Check("modes", "ok", "nobody else can read the home, its keys and its journal")


def _private(settings: Settings) -> Iterator[Path]:
    """What only the owner may reach: directories, keys and the journal; a public key is public."""
    if not settings.home.is_dir():
        return
    yield settings.home
    for folder in (settings.home / "keys", settings.home / "journal"):
        if folder.is_dir():
            yield folder
            yield from (place for place in sorted(folder.iterdir()) if place.suffix != ".pub")


def _is_open(place: Path) -> bool:
    return bool(stat.S_IMODE(place.lstat().st_mode) & _OPEN)


def mend(settings: Settings) -> list[str]:
    """Make the home, close what is open to others, bring older tables up to date; returns what was
    done, and what could not be.

    Raises: InstanceLocked, where another Oxios uses such tables; JournalDown, where that fails.
    """
    done: list[str] = []
    try:
        if not settings.home.exists():
            settings.home.mkdir(parents=True, mode=0o700)
            done.append(f"made {settings.home}")
        for place in _private(settings):
            if _is_open(place) and not place.is_symlink():
                place.chmod(stat.S_IMODE(place.stat().st_mode) & ~_OPEN)
                done.append(f"closed {place} to others")
    except OSError as error:
        done.append(f"could not mend {error.filename}: {error.strerror}")
    if _outdated(settings):
        with instance_lock(settings.home):
            make_store(settings).prepare()
        done.append("brought the journal's tables up to date")
    return done


def _outdated(settings: Settings) -> bool:
    if not JournalFiles(settings.home).head.exists():
        return False
    try:
        make_store(settings).reader().close()
    except StoreOutdated:
        return True
    except (OxiosError, ImportError):
        return False  # The check of the journal says what it is.
    return False


def policy(settings: Settings) -> Check:
    """Whether the policy file can be obeyed; with one that cannot, the gate refuses every call."""
    place = settings.home / POLICY_NAME
    try:
        found = parse_policy(place.read_bytes())
    except FileNotFoundError:
        return Check("policy", "ok", "none yet: the default is written when Oxios starts")
    except OSError as error:
        return Check("policy", "fail", f"{place} cannot be read: {error.strerror}", "make it a file that you can read")
    except Invalid as error:
        return Check("policy", "fail", f"{place}: {error.message}; every call is refused", error.remedy)
    return Check("policy", "ok", f"{len(found.rules) + len(found.inherits)} rules, in {place}")


def disk(settings: Settings) -> Check:
    place = settings.home
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free // _MIB} MiB free at {place}"
    if free < DISK_FAIL_BYTES:
        return Check("disk", "fail", detail, "free some space: without it the journal stops, and with it every agent")
    if free < DISK_WARN_BYTES:
        return Check("disk", "warn", detail, "free some space soon")
    return Check("disk", "ok", detail)


def lock(settings: Settings) -> Check:
    if not (settings.home / "lock").exists():
        return Check("instance", "ok", "nobody uses the home")
    try:
        with instance_lock(settings.home):
            return Check("instance", "ok", "nobody uses the home")
    except InstanceLocked as error:
        # A lock that is held is as it should be; one that cannot be opened is not.
        in_use = "process" in error.message
        return Check("instance", "ok" if in_use else "fail", error.message, "" if in_use else error.remedy)


def journal(settings: Settings) -> Check:
    """Opens it and verifies it whole, as `oxios audit verify` does."""
    files = JournalFiles(settings.home)
    if not settings.journal.url and not files.head.exists():
        return Check("journal", "ok", "none yet: it begins with the first run")
    if not settings.journal.url and (lost := _lost_key(files)):
        return Check("journal", "fail", f"{lost} is missing: without it the journal can only be read", _RESTORE)
    try:
        report = verify(make_store(settings), files, SystemClock(), trusted=load_public(files.public_keys))
    except OxiosError as error:
        return Check("journal", "fail", error.message, error.remedy or "see `oxios audit verify`")
    except ImportError as error:
        return Check("journal", "fail", f"{error.name} is not installed", "pip install 'oxios[postgres]'")
    if not report.good:
        first = next((each.message for each in report.findings), "it is broken")
        return Check("journal", "fail", first, "see `oxios audit verify`; restore a backup, and find out who did it")
    return Check("journal", "ok", f"{report.size} entries verified in {report.duration_s:.2f} s, at {report.address}")


def _lost_key(files: JournalFiles) -> Path | None:
    return next((place for place in (files.keys / PRIVATE, files.public_keys) if not place.exists()), None)


async def sandbox(settings: Settings) -> Check:
    """Starts a process in the tier that is in force."""
    found = await make_sandbox(settings).probe()
    detail = f"tier {found.tier}: {found.reason}"
    if not found.works:
        return Check("sandbox", "fail", f"{detail}; `exec` is refused", found.remedy)
    if found.tier == "none":
        return Check("sandbox", "warn", detail, "install bubblewrap and `oxios config unset sandbox.tier`")
    return Check("sandbox", "ok", detail)


async def provider(settings: Settings, name: str) -> Check:
    """Whether its key is there and its address answers; no request is made, so it costs nothing."""
    said = settings.providers[name]
    label = f"provider {name}"
    made = None
    try:
        made = make_providers(settings)[name]
        if not made.endpoint:
            return Check(label, "ok", "needs no network and no key")
        if said.kind == "vendor":
            return Check(label, "ok", "which host it asks, a model's name says; none was tried")
        host, _, port = made.endpoint.rpartition(":")
        if said.key_env and not os.environ.get(said.key_env):
            return Check(label, "fail", f"the variable {said.key_env} is empty", f"export {said.key_env} with the key")
        return await _reachable(label, host.strip("[]"), int(port))
    except OxiosError as error:
        return Check(label, "fail", error.message, error.remedy)
    finally:
        if made is not None:
            await made.aclose()


async def _reachable(label: str, host: str, port: int) -> Check:
    try:
        with anyio.fail_after(_CONNECT_S):
            stream = await anyio.connect_tcp(host, port)
            await stream.aclose()
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer in {_CONNECT_S:g} s"
        return Check(label, "fail", f"{host}:{port} cannot be reached ({why})", "check its base_url and the network")
    return Check(label, "ok", f"{host}:{port} answers")


def search(settings: Settings) -> Check:
    said = settings.search
    if not said.provider:
        return Check(
            "search", "ok", "no search engine: web_search says so to agents", "to have one: see `oxios config schema`"
        )
    if said.key_env and not os.environ.get(said.key_env):
        return Check("search", "fail", f"the variable {said.key_env} is empty", f"export {said.key_env} with the key")
    if said.provider == "searxng" and not said.url:
        return Check("search", "fail", "search.url is empty", "oxios config set search.url https://HOST")
    return Check("search", "ok", f"{said.provider} at {said.url or 'its own address'}")
