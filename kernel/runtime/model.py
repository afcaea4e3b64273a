"""Model requests as a syscall: the same gate, the same permit, their own pair of entries.

Guarantees: no request leaves without a permit that covers `model:PROVIDER/NAME` and a reservation of
prompt and answer in the run's budget; what the provider reports settles it. model.request is
appended before, model.reply (or model.failed) after.
Does not guarantee: that a reply that was paid for survives a crash between its last byte and the
commit; the run then asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.capability.rights import Rights
from kernel.errors import KernelBug, NotFound, ProviderDown
from kernel.ids import CallId
from kernel.limits import MODEL_DEADLINE_S
from kernel.ports.provider import ModelEvent, ModelRequest, Price, Provider, Reply
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim

CONTEXT_TOKENS: Final = 128_000


class ModelArgs(Args):
    """`model` is `provider/name`; `tokens` is what was reserved at most."""

    model: str
    tokens: int = 0


@dataclass(slots=True)
class Exchange:
    """One request under way, kept by call id between the runtime and the body."""

    request: ModelRequest
    on_event: Callable[[ModelEvent], None]
    reply: Reply | None = None


@dataclass(slots=True)
class ModelDesk:
    """The providers by name, and the exchanges under way."""

    providers: Mapping[str, Provider]
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """By provider; a provider that costs nothing has a price of zero."""
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    """By model: its context in tokens, where it is not CONTEXT_TOKENS."""
    exchanges: dict[CallId, Exchange] = field(default_factory=dict[CallId, Exchange])

    def provider_of(self, model: str) -> tuple[Provider, str]:
        """The provider and its own name of the model. Raises: NotFound, naming those there are."""
        name, _, rest = model.partition("/")
        provider = self.providers.get(name)
        if provider is None or not rest:
            raise NotFound(
                f"{model!r} names no configured model",
                remedy=f"write PROVIDER/MODEL, PROVIDER one of {', '.join(sorted(self.providers))}; "
                "`oxios onboard` and `oxios config set providers.NAME.base_url URL` add one",
            )
        return provider, rest

    def window_of(self, model: str) -> int:
        """How many tokens of prompt and answer the model takes."""
        return self.windows.get(model, CONTEXT_TOKENS)

    def can_sum_up(self, model: str) -> bool:
        """The embedded planner follows instructions; it has no judgement to sum up with."""
        provider, _ = self.provider_of(model)
        return bool(provider.endpoint)

    def price_of(self, model: str) -> Price | None:
        """None where it is not known."""
        return self.prices.get(model.partition("/")[0])


@syscall(
    "model",
    ModelArgs,
    claims=lambda args: (NameClaim("model", args.model, Rights.EXECUTE),),
    effect=Effect.READ,
    deadline_s=MODEL_DEADLINE_S,
    offered=False,
)
async def model(call: Call, args: ModelArgs) -> ToolResult:
    """Ask a model for its next reply, streamed."""
    desk = call.services.get(ModelDesk)
    exchange = desk.exchanges[call.id]
    provider, _ = desk.provider_of(args.model)
    try:
        with anyio.fail_after(exchange.request.deadline_s):
            async for event in provider.stream(exchange.request):
                if isinstance(event, Reply):
                    exchange.reply = event
                else:
                    exchange.on_event(event)
    except TimeoutError as late:
        raise ProviderDown(
            f"{args.model} did not finish its reply within {exchange.request.deadline_s:g} s",
            remedy="resume the run to ask again, or choose another model",
        ) from late
    if exchange.reply is None:
        raise KernelBug(f"provider {provider.name} ended its stream without a reply")
    return ToolResult(exchange.reply.text)
