"""The settings tree: every name, default, bound and policy of the configuration, in one place.

Guarantees: the tree is frozen, and holds no secret: keys are named by environment variable only.
Does not guarantee that a provider answers or a program exists; `oxios doctor` looks at those.

Source: RFC-0010.
"""

# ruff: noqa: RUF009 -- setting, section, named and table are field specifiers: they return dataclass fields

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from kernel.limits import (
    APPROVAL_WAIT_S,
    CALL_DEADLINE_S,
    CALL_DEADLINE_S_MAX,
    MODEL_DEADLINE_S,
    RUN_DEADLINE_S,
    TURNS_MAX,
)
from kernel.settings.kinds import Flag, Number, Text, Texts, Word
from kernel.settings.policy import Free, Lower, Operator, Stricter, Subset, Union
from kernel.settings.spec import GIVEN, named, section, setting, table

ApprovalMode: TypeAlias = Literal["manual", "allow-list", "auto"]
ApprovalPolicy: TypeAlias = Literal["auto", "on_demand", "always"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
ProviderKind: TypeAlias = Literal["embedded", "openai", "anthropic", "vendor"]
SandboxTier: TypeAlias = Literal["none", "bubblewrap"]
SearchProvider: TypeAlias = Literal["", "searxng", "brave"]
Synchronous: TypeAlias = Literal["full", "normal"]

EMBEDDED: Final = "embedded"
PLANNER: Final = "embedded/planner"

_DAY_S: Final = 86_400.0
_ENV_NAME = Text(r"[A-Z_][A-Z0-9_]{0,127}", "the NAME of an environment variable, e.g. OPENAI_API_KEY", quoted=False)
_KEY_ENV = Text(r"(?:[A-Z_][A-Z0-9_]{0,127})?", _ENV_NAME.describe, quoted=False)
_HTTP = r"https?://[^\s/@?#]+(?:/[^\s@?#]*)?"
_BASE_URL = Text(rf"(?:{_HTTP})?", "an http(s) URL without user, password or query", quoted=False)
_JOURNAL_URL = Text(
    r"(?:sqlite:///[^\s?#]+|postgresql://(?:[^\s:@/?]+@)?[^\s@?]*(?:\?[^\s@]*)?)?",
    '"" (SQLite in the home), "sqlite:///ABSOLUTE/PATH", or a postgresql:// URL without a password '
    "(libpq reads PGPASSWORD and ~/.pgpass)",
    quoted=False,
)
MODEL_NAME: Final = r"[a-z0-9][a-z0-9_-]{0,63}/\S{1,200}"
_MODEL = Text(MODEL_NAME, 'PROVIDER/MODEL, e.g. "embedded/planner"')
_GRANTED = Text(r"[a-z][a-z0-9_]*(?::[^\s,]+)?", 'a tool, or a tool and what it acts on, e.g. "write", "exec:git"')
_PATH = Text(r"(?:/|~/)[^\x00\n]*", "an absolute path, or one that starts with ~/")
_PROGRAM = Text(r"[^\s/\x00][^/\x00\n]*", 'a program\'s name, e.g. "curl"')
_HOST = Text(r"[A-Za-z0-9.:\[\]/_-]{1,255}", 'a host, an address or a network, e.g. "nas.lan" or "10.0.0.0/8"')
_PORT: Final = r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_HOST_PORT = Text(
    rf"(?:\*|(?:\*\.)?[A-Za-z0-9_-]{{1,63}}(?:\.[A-Za-z0-9_-]{{1,63}}){{0,20}}):(?:\*|{_PORT})",
    'a host and a port, * for any, e.g. "nas.lan:443", "*.lan:8080" or "*:*"',
)
_BIND = Text(r"[0-9A-Fa-f.:]{2,45}|localhost", 'an IP address, or "localhost"')
_HOST_NAME = Text(r"[A-Za-z0-9.:\[\]-]{1,255}", 'a host name without scheme, e.g. "oxios.example.org"')
_PERSONA = Text(r"(?:[a-z0-9][a-z0-9_-]{0,63})?", "a persona's id (see `oxios persona list`), or empty")

PROVIDER_NAME: Final = r"[a-z0-9][a-z0-9_-]{0,63}"
TOOL_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}"

DENIED_PATHS: Final = ("~/.ssh", "~/.gnupg", "~/.aws", "~/.azure", "~/.config/gcloud", "~/.kube", "~/.netrc")


@dataclass(frozen=True, slots=True)
class JournalSettings:
    url: str = setting("", _JOURNAL_URL, Operator(), "Where the journal is stored; empty is SQLite in the home.")
    synchronous: Synchronous = setting(
        "full",
        Word(("full", "normal")),
        Operator(),
        "SQLite's synchronous mode: full survives a power cut, normal may lose the newest entries in one.",
    )


@dataclass(frozen=True, slots=True)
class ModelSettings:
    default: str = setting(PLANNER, _MODEL, Operator(), "The model of a run that names none, as PROVIDER/MODEL.")


_WAIT = Number(0.01, 3600)

ADDRESSES: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
"""Where a provider of a kind is reached that was given no address."""
KEY_VARIABLES: Final[Mapping[str, str]] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""What holds the key for these addresses where no variable is named; it is sent nowhere else."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    kind: ProviderKind = setting(
        "openai",
        Word(("embedded", "openai", "anthropic", "vendor")),
        Operator(),
        "Which wire format it speaks; vendor: any that pydantic-ai knows (needs the extra `vendors`).",
    )
    base_url: str = setting(
        "", _BASE_URL, Operator(), "Where it is reached, e.g. https://host/v1; empty: where its kind's maker serves it."
    )
    key_env: str = setting("", _KEY_ENV, Operator(), "The environment variable that holds its key; empty: see keys.")
    connect_s: float = setting(10.0, _WAIT, Operator(), "Seconds to connect to it.")
    first_byte_s: float = setting(120.0, _WAIT, Operator(), "Seconds it may take to begin its answer.")
    idle_s: float = setting(60.0, _WAIT, Operator(), "Seconds it may be silent within its answer.")
    input_usd_per_mtok: float = setting(0.0, Number(0, 10_000), Operator(), "Price of a million input tokens.")
    output_usd_per_mtok: float = setting(0.0, Number(0, 10_000), Operator(), "Price of a million output tokens.")
    keys: tuple[str, ...] = setting(
        (),
        Texts(_ENV_NAME, items_max=16),
        Operator(),
        "Environment variables that hold further keys, used in turn; without key_env and these, the "
        "provider's own variable, LLM_API_KEY, the keyring or the home's key file is used.",
    )
    vendor: str = setting(
        "",
        Text(r"(?:[a-z0-9][a-z0-9_-]{0,63})?", "a provider's id in the price catalog, or empty"),
        Operator(),
        "Whose models it serves, for their prices; empty: told by its address.",
    )
    requests_per_min: int | None = setting(
        None, Number(1, 10**7, whole=True, optional=True), Operator(), "Requests a minute that it is asked at most."
    )
    tokens_per_min: int | None = setting(
        None, Number(1, 10**10, whole=True, optional=True), Operator(), "Tokens a minute that it is asked for at most."
    )
    concurrent: int = setting(128, Number(1, 10_000, whole=True), Operator(), "Requests to it under way at once.")


_USD = Number(0, 100_000, optional=True)
_TOKENS = Number(1, 10**9, whole=True, optional=True)
_MODALITY = Text(r"text|image|pdf|audio", '"text", "image", "pdf" or "audio"')


@dataclass(frozen=True, slots=True)
class ModelFactSettings:
    """What the catalog says of one model, corrected; "none" leaves it as the catalog has it."""

    context: int | None = setting(None, _TOKENS, Operator(), "Tokens that prompt and answer may have together.")
    output: int | None = setting(None, _TOKENS, Operator(), "Tokens that one answer may have.")
    input_usd_per_mtok: float | None = setting(None, _USD, Operator(), "Price of a million input tokens.")
    output_usd_per_mtok: float | None = setting(None, _USD, Operator(), "Price of a million output tokens.")
    cached_usd_per_mtok: float | None = setting(
        None, _USD, Operator(), "Price of a million input tokens read from the provider's cache."
    )
    written_usd_per_mtok: float | None = setting(
        None, _USD, Operator(), "Price of a million input tokens written to the provider's cache."
    )
    modalities: tuple[str, ...] = setting(
        (), Texts(_MODALITY, items_max=4), Operator(), "Kinds of files it takes in; none: as its family does."
    )


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    fallbacks: tuple[str, ...] = setting(
        (), Texts(_MODEL, items_max=15), Operator(), "Models asked in turn where the wanted one cannot answer."
    )
    phases: Mapping[str, str] = table(
        {},
        _MODEL,
        Operator(),
        "The model of a phase, in place of the run's: assess, crystallize, review or summary; execute: the model of a "
        "run whose message, seed and persona name none.",
        "assess|crystallize|execute|review|summary",
    )
    personas: Mapping[str, str] = table(
        {}, _MODEL, Operator(), "The model of a persona whose run names none.", r"[a-z0-9][a-z0-9_-]{0,63}"
    )
    deadline_s: float = setting(
        MODEL_DEADLINE_S, Number(1, 3600), Lower(), "Seconds one model has for its answer, all attempts together."
    )
    wait_s: float = setting(
        120.0, Number(0, 3600), Lower(), "Seconds a request waits where no model can answer now, before its run pauses."
    )
    keyring: bool = setting(False, Flag(), Operator(), "Look for keys in the system's keyring as well.")


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    mode: ApprovalMode = setting(
        "allow-list",
        Word(("manual", "allow-list", "auto")),
        Stricter(("auto", "allow-list", "manual")),
        "What runs unasked: manual nothing that acts, allow-list what approval.allow names, auto everything "
        "but what must always be asked.",
    )
    allow: tuple[str, ...] = setting(
        ("write", "edit", "exec:sandboxed"), Texts(_GRANTED), Subset(), "What runs unasked in mode allow-list."
    )
    policies: Mapping[str, ApprovalPolicy] = table(
        {},
        Word(("auto", "on_demand", "always")),
        # A tool's own default is not known here, so only the strictest word is surely no loosening.
        Stricter(("auto", "on_demand", "always"), unset="always"),
        "A tool's policy in place of the one it declares.",
        TOOL_NAME,
    )
    wait_s: float = setting(
        APPROVAL_WAIT_S, Number(1, _DAY_S), Lower(), "Seconds a question waits before it counts as denied."
    )


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    tier: SandboxTier = setting(
        "bubblewrap",
        Word(("bubblewrap", "none")),
        Stricter(("none", "bubblewrap")),
        "How programs are confined; none confines nothing and is for machines where bubblewrap cannot run.",
    )
    env: tuple[str, ...] = setting(
        (), Texts(_ENV_NAME), Subset(), "Names of the environment variables a program may see."
    )
    deadline_s: float = setting(
        CALL_DEADLINE_S, Number(1, CALL_DEADLINE_S_MAX), Lower(), "Seconds one process tree may run."
    )
    memory_mb: int = setting(1024, Number(16, 1_048_576, whole=True), Lower(), "Memory of one process, in MiB.")
    processes: int = setting(128, Number(1, 65_536, whole=True), Lower(), "Processes alive at once.")
    descriptors: int = setting(256, Number(16, 65_536, whole=True), Lower(), "Open descriptors of one process.")
    output_mb: int = setting(4, Number(1, 64, whole=True), Lower(), "Printed output kept, in MiB.")
    workspace_mb: int = setting(
        1024, Number(1, 1_048_576, whole=True), Lower(), "Growth of the workspace by one process tree, in MiB."
    )
    workspace_files: int = setting(
        50_000, Number(1, 10_000_000, whole=True), Lower(), "Files one process tree may add to the workspace."
    )


@dataclass(frozen=True, slots=True)
class PathSettings:
    denied: tuple[str, ...] = setting(
        DENIED_PATHS, Texts(_PATH), Union(), "No agent reaches these or what is below them; deny beats allow."
    )


@dataclass(frozen=True, slots=True)
class CommandSettings:
    denied: tuple[str, ...] = setting((), Texts(_PROGRAM), Union(), "Programs that no agent may run.")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    private_hosts: tuple[str, ...] = setting(
        (), Texts(_HOST), Subset(), "Hosts or networks that may be reached although their address is not public."
    )


@dataclass(frozen=True, slots=True)
class SearchSettings:
    provider: SearchProvider = setting(
        "", Word(("", "searxng", "brave")), Operator(), "Who answers web_search; empty: nobody."
    )
    url: str = setting("", _BASE_URL, Operator(), "Where it is reached; SearXNG needs one.")
    key_env: str = setting("", _KEY_ENV, Operator(), "The environment variable that holds its key.")


@dataclass(frozen=True, slots=True)
class RunSettings:
    turns_max: int = setting(TURNS_MAX, Number(1, 10_000, whole=True), Lower(), "Model replies of one run.")
    deadline_s: float = setting(RUN_DEADLINE_S, Number(1, 30 * _DAY_S), Lower(), "Seconds one run may take.")
    grant: str = setting(
        "worker",
        Word(("worker", "standard", "operator", "supervisor")),
        Stricter(("supervisor", "operator", "standard", "worker")),
        "The named grant an agent starts with.",
    )
    network: tuple[str, ...] = setting(
        (),
        Texts(_HOST_PORT),
        Subset(),
        "Hosts an agent may reach beside its grant's; *:* is all, which a command that wants the network needs.",
    )
    tokens_max: int | None = setting(
        None, Number(1, 10**12, whole=True, optional=True), Lower(), "Tokens one run may spend."
    )
    calls_max: int | None = setting(
        None, Number(1, 10**9, whole=True, optional=True), Lower(), "Tool calls one run may make."
    )
    usd_max: float | None = setting(None, Number(0, 10**6, optional=True), Lower(), "US dollars one run may cost.")
    seconds_max: float | None = setting(
        None, Number(1, 30 * _DAY_S, optional=True), Lower(), "Seconds of budget one run may use."
    )


@dataclass(frozen=True, slots=True)
class CycleSettings:
    generations_max: int = setting(
        3, Number(1, 3, whole=True), Lower(), "How often a task is carried out at most, each time closing gaps."
    )
    clarify_rounds_max: int = setting(
        3, Number(0, 3, whole=True), Lower(), "Rounds of questions before a task is begun as it is understood."
    )
    score_min: float = setting(
        1.0, Number(0, 1), Free(), "Share of met criteria from which no further generation is tried."
    )
    session_tokens_max: int | None = setting(
        None, Number(1, 10**12, whole=True, optional=True), Lower(), "Tokens one session may spend, its runs included."
    )
    session_usd_max: float | None = setting(
        None, Number(0, 10**6, optional=True), Lower(), "US dollars one session may cost, its runs included."
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    level: LogLevel = setting(
        "warning", Word(("debug", "info", "warning", "error")), Free(), "The least that is logged to stderr."
    )
    json: bool = setting(False, Flag(), Free(), "One JSON object a line, instead of text for a person.")


@dataclass(frozen=True, slots=True)
class PersonaSettings:
    default: str = setting("", _PERSONA, Free(), "The persona of a run that names none.")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = setting(
        "127.0.0.1",
        _BIND,
        Operator(),
        "The address `oxios serve` listens on; one not of this machine needs a password.",
    )
    port: int = setting(4200, Number(0, 65_535, whole=True), Operator(), "Its port; 0 takes any that is free.")
    url: str = setting("", _BASE_URL, Operator(), "Where browsers find it, behind a proxy; empty: the address itself.")
    allowed_hosts: tuple[str, ...] = setting(
        (), Texts(_HOST_NAME), Subset(), "Other names it answers to; requests for any other are refused."
    )
    secure_cookies: bool = setting(
        False, Flag(), Operator(), "Whether cookies are sent over TLS only; on by itself where url begins with https."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole. `home` is not a setting in a file: it decides which file is read."""

    home: Path = field(metadata=GIVEN)
    journal: JournalSettings = section(JournalSettings)
    model: ModelSettings = section(ModelSettings)
    providers: Mapping[str, ProviderSettings] = named(
        {EMBEDDED: ProviderSettings(kind="embedded")}, ProviderSettings, PROVIDER_NAME
    )
    models: Mapping[str, ModelFactSettings] = named({}, ModelFactSettings, MODEL_NAME)
    routing: RoutingSettings = section(RoutingSettings)
    approval: ApprovalSettings = section(ApprovalSettings)
    sandbox: SandboxSettings = section(SandboxSettings)
    paths: PathSettings = section(PathSettings)
    commands: CommandSettings = section(CommandSettings)
    network: NetworkSettings = section(NetworkSettings)
    search: SearchSettings = section(SearchSettings)
    run: RunSettings = section(RunSettings)
    cycle: CycleSettings = section(CycleSettings)
    log: LogSettings = section(LogSettings)
    persona: PersonaSettings = section(PersonaSettings)
    server: ServerSettings = section(ServerSettings)
