"""Declaring a syscall: its arguments, what they claim, its effect, and one body.

    @syscall("ls", LsArgs, claims=lambda a: (PathClaim(a.path, Rights.READ),), effect=Effect.READ)
    async def ls(call: Call, args: LsArgs) -> ToolResult:
        \"\"\"List a directory. The model sees this docstring.\"\"\"

`claims` is required, so the gate learns of a syscall from its declaration and no central list of
names can lag; one that needs nothing says `claims=no_claims`. The decorated name is a `Syscall`,
not a function: the body is reached through `invoke` alone, which redeems a permit.

A syscall whose effect is `write` does not act: its body computes a `Change`, which the dispatcher
records (intent, with the mark and the pre-image) and only then applies. So every local write has
an inverse, and after a crash its mark tells whether it happened.

Source: RFC-0004.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from kernel.capability.resource import Kind
from kernel.capability.rights import Rights
from kernel.clock import Clock
from kernel.directive import Mount
from kernel.errors import KernelBug
from kernel.ids import CallId, Principal, RunId
from kernel.jsontypes import JsonObject
from kernel.limits import CALL_DEADLINE_S
from kernel.syscalls.permit import Permit, begin
from kernel.syscalls.target import Claim, CommandTarget, NameTarget, PathTarget, Target, UrlTarget

ApprovalPolicy: TypeAlias = Literal["auto", "on_demand", "always"]
SafetyTier: TypeAlias = Literal["read_only", "side_effecting", "privileged"]


class Effect(StrEnum):
    """What a call may do to the world; decides durability, parallelism and default approval."""

    PURE = "pure"
    READ = "read"
    WRITE = "write"
    EXTERNAL = "external"

    @property
    def tier(self) -> SafetyTier:
        return _TIERS[self]

    @property
    def repeatable(self) -> bool:
        """May run again after a crash without asking."""
        return self in (Effect.PURE, Effect.READ)


_TIERS: dict[Effect, SafetyTier] = {
    Effect.PURE: "read_only",
    Effect.READ: "read_only",
    Effect.WRITE: "side_effecting",
    Effect.EXTERNAL: "privileged",
}


class Args(BaseModel):
    """Base of argument types: unknown names are refused, so a misspelt option is seen.

    The validator of a type is built when it is first used: a command uses few of sixty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


A = TypeVar("A", bound=Args)
A_contra = TypeVar("A_contra", bound=Args, contravariant=True)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a body returns: `text` for the model, `data` for the journal and the screen.

    Long `text` is bounded by the dispatcher, which keeps the whole as a blob.
    """

    text: str
    data: JsonObject = field(default_factory=dict[str, Any])
    blobs: tuple[bytes, ...] = ()
    is_error: bool = False


class Change(Protocol):
    """A local write, computed and not yet done."""

    @property
    def mark(self) -> JsonObject:
        """Kind, place, digests before and after: enough to find out later whether it happened."""
        ...

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The pre-image, where there is one."""
        ...

    async def apply(self) -> ToolResult:
        """Do it, atomically: after a crash it has happened whole or not at all.

        Raises: Conflict, where the place no longer holds what the change was computed from.
        """
        ...


class Services:
    """What bodies may use, by type: the sandbox, the web client, the asker.

    Built once at boot and handed down; nothing in it confers authority.
    """

    def __init__(self, *provided: tuple[type[Any], object]) -> None:
        self._by_type: dict[type[Any], object] = dict(provided)

    def provide(self, kind: type[Any], service: object) -> None:
        """Add one, at boot. Raises: KernelBug, where there is one of that kind."""
        if kind in self._by_type:
            raise KernelBug(f"the service {kind.__name__} was provided twice")
        self._by_type[kind] = service

    def get(self, wanted: type[S]) -> S:
        """Raises: KernelBug, where boot did not provide it."""
        found = self._by_type.get(wanted)
        if found is None:
            raise KernelBug(f"no service {wanted.__name__} was provided at boot")
        return found  # pyright: ignore[reportReturnType] -- stored under its own type by `provided`


@dataclass(frozen=True, slots=True)
class Call:
    """What a body sees of the call it runs for."""

    id: CallId
    principal: Principal
    owner: Principal
    """The person on whose behalf the principal acts."""
    run: RunId | None
    permit: Permit
    mounts: tuple[Mount, ...]
    clock: Clock
    services: Services
    progress: Callable[[str], None]
    """Report something to whoever watches now; bounded, lossy, never journalled."""

    def path(self, written: str) -> PathTarget:
        return _expect(self.permit.targets[written], PathTarget)

    def command(self) -> CommandTarget:
        return _expect(self.permit.targets["command"], CommandTarget)

    def url(self, written: str) -> UrlTarget:
        return _expect(self.permit.targets[written], UrlTarget)

    def name(self, name: str) -> NameTarget:
        return _expect(self.permit.targets[name], NameTarget)


T = TypeVar("T")


def _expect(target: Target, kind: type[T]) -> T:
    if not isinstance(target, kind):
        raise KernelBug(f"the permit holds {type(target).__name__} where the body expects {kind.__name__}")
    return target


class Body(Protocol[A_contra]):
    """Reads and external effects return a result; writes return the change to make."""

    __name__: str
    __doc__: str | None

    def __call__(self, call: Call, args: A_contra, /) -> Awaitable[ToolResult | Change]: ...


@dataclass(frozen=True, slots=True)
class Syscall(Generic[A]):
    """A guarded, journalled operation. Made by `@syscall` alone."""

    name: str
    args: type[A]
    claims: Callable[[A], tuple[Claim, ...]]
    effect: Effect
    description: str
    approval: ApprovalPolicy
    deadline_s: Callable[[A], float]
    reaches: tuple[tuple[Kind, Rights], ...]
    """The kinds of resource that every call needs, with the right: an agent without them is not offered it."""
    offered: bool
    """May be offered to a model (a tool), not only called through a handle."""
    _body: Body[A] = field(repr=False)

    @property
    def tier(self) -> SafetyTier:
        return self.effect.tier

    async def invoke(self, call: Call, args: A) -> ToolResult | Change:
        """Run the body. The permit must have been redeemed for this call by the dispatcher.

        Raises: KernelBug, where the permit is not this syscall's; CapabilityRevoked, where it is not redeemed
        or was withdrawn since.
        """
        if call.permit.syscall != self.name or call.permit.call != call.id:
            raise KernelBug(f"{self.name} was invoked with a permit for {call.permit.syscall}")
        begin(call.permit)
        return await self._body(call, args)


AnySyscall: TypeAlias = Syscall[Any]


def no_claims(_args: Args) -> tuple[Claim, ...]:
    """For a syscall that touches nothing outside its own arguments."""
    return ()


def syscall(
    name: str,
    args: type[A],
    *,
    claims: Callable[[A], tuple[Claim, ...]],
    effect: Effect,
    approval: ApprovalPolicy | None = None,
    deadline_s: float | Callable[[A], float] = CALL_DEADLINE_S,
    reaches: tuple[tuple[Kind, Rights], ...] = (),
    offered: bool = True,
) -> Callable[[Body[A]], Syscall[A]]:
    """Declare a syscall; default approval: `auto` for pure and read, else `on_demand`.

    Raises: KernelBug at import, where the body has no docstring (the model would see nothing).
    """

    def declare(body: Body[A]) -> Syscall[A]:
        description = inspect.getdoc(body)
        if not description:
            raise KernelBug(f"syscall {name} has no docstring")
        policy = approval or ("auto" if effect.repeatable else "on_demand")
        seconds = deadline_s if callable(deadline_s) else _constant(deadline_s)
        return Syscall(name, args, claims, effect, description, policy, seconds, reaches, offered, body)

    return declare


def _constant(seconds: float) -> Callable[[Args], float]:
    return lambda _args: seconds
