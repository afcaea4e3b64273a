"""Model requests as a syscall: the same gate, the same permit, their own pair of entries.

Guarantees: no request leaves without a permit that covers `model:PROVIDER/NAME` and a reservation of
prompt and answer in the run's budget; what the provider reports settles it. model.request is
appended before, model.reply (or model.failed) after; under a cap model.reserved is durable between.
Does not guarantee: that a reply that was paid for survives a crash between its last byte and the
commit; the run then asks again, and under a cap pays for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernel.capability.rights import Rights
from kernel.engine.engine import Engine, no_model, stamp_of
from kernel.errors import KernelBug, OxiosError
from kernel.ids import CallId
from kernel.limits import MODEL_DEADLINE_S
from kernel.log import get_logger
from kernel.ports.provider import Attachment, AttachmentRefused, ModelEvent, ModelRequest, Provider, Reply
from kernel.runtime.attached import refusal, tokens_of_attached
from kernel.settings.live import in_force
from kernel.settings.load import Resolved
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.scrub import learn_values
from kernel.syscalls.target import NameClaim

_log = get_logger("model")


class ModelArgs(Args):
    """`model` is `provider/name`; `tokens` is what was reserved at most."""

    model: str
    tokens: int = 0


@dataclass(slots=True)
class Exchange:
    """One request under way, kept by call id between the runtime and the body."""

    provider: Provider
    request: ModelRequest
    on_event: Callable[[ModelEvent], None]
    reply: Reply | None = None
    sent: bool = False
    """From here on it may cost something."""
    begun: bool = False
    """Something of an answer came."""


@dataclass(slots=True)
class SettingsWatch:
    """The settings' file, looked at before each request: one `stat`."""

    path: Path
    read: Callable[[], Resolved] | None = None
    stamp: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.stamp = stamp_of(self.path)

    def changed(self) -> Resolved | None:
        """New settings, where the file changed and can be read; what is wrong with it is logged."""
        now = stamp_of(self.path)
        if self.read is None or now == self.stamp:
            return None
        self.stamp = now
        try:
            return self.read()
        except OxiosError as error:
            _log.warning("settings_not_reloaded", why=error.explain())
            return None


@dataclass(slots=True)
class ModelDesk:
    """The engine, and the exchanges under way."""

    engine: Engine
    watch: SettingsWatch
    exchanges: dict[CallId, Exchange] = field(default_factory=dict[CallId, Exchange])

    async def refresh(self) -> None:
        """Put changed settings in force from now on, those of the sections that are live.

        Raises: nothing: what cannot be put in force is logged, and leaves those that are.
        """
        read = self.watch.changed()
        if read is None:
            return
        try:
            changed = await self.engine.reload(in_force(self.engine.settings, read.settings))
            learn_values(self.engine.secret_values())
        except OxiosError as error:
            _log.warning("settings_not_reloaded", why=error.explain())
            return
        _log.info("engine_reloaded", providers=changed)

    def provider_of(self, model: str) -> tuple[Provider, str]:
        """The provider and its own name of the model. Raises: NotFound, naming those there are."""
        name, _, rest = model.partition("/")
        provider = self.engine.providers.get(name)
        if provider is None or not rest:
            raise no_model(model, self.engine.providers)
        return provider, rest

    def window_of(self, model: str) -> int:
        """How many tokens of prompt and answer the model takes."""
        return self.engine.facts(model).context_tokens

    def admit(self, model: str, persona: str, attached: Sequence[Attachment]) -> None:
        """Raises: AttachmentRefused, where neither the model nor one that may stand in for it takes the files."""
        refusals = [refusal(attached, self.engine.facts(one)) for one in self.engine.route(model, persona=persona)]
        tokens, window = tokens_of_attached(attached), self.window_of(model)
        if refusals and all(refusals):
            raise refusals[0] or KernelBug("a refusal that is none")
        if tokens > window // 2:
            raise AttachmentRefused(
                f"the attached files are about {tokens} tokens, and {model} takes {window} in all",
                remedy="attach less, or put it into the workspace: the agent can read it there part by part",
            )

    def can_sum_up(self, model: str) -> bool:
        """The embedded planner follows instructions; it has no judgement to sum up with."""
        provider, _ = self.provider_of(model)
        return bool(provider.endpoint)


@syscall(
    "model",
    ModelArgs,
    claims=lambda args: (NameClaim("model", args.model, Rights.EXECUTE),),
    effect=Effect.READ,
    deadline_s=MODEL_DEADLINE_S,
    offered=False,
)
async def model(call: Call, _args: ModelArgs) -> ToolResult:
    """Ask a model for its next reply, streamed."""
    # In the time that `kernel.runtime.sending` allows: its scope is around the body, and one is enough.
    desk = call.services.get(ModelDesk)
    exchange = desk.exchanges[call.id]
    provider = exchange.provider
    exchange.sent = True
    async for event in provider.stream(exchange.request):
        exchange.begun = True
        if isinstance(event, Reply):
            exchange.reply = event
        else:
            exchange.on_event(event)
    if exchange.reply is None:
        raise KernelBug(f"provider {provider.name} ended its stream without a reply")
    return ToolResult(exchange.reply.text)
