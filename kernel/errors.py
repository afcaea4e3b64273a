"""Every error a user or a model can meet; each says what was wrong and what to do.

OxiosError                     code, message, remedy
├─ AccessDenied                layer, need
├─ ApprovalPending             approval
├─ Invalid · NotFound · Conflict
├─ LimitExceeded               BudgetExhausted · QueueFull · DeadlinePassed · CspaceFull
├─ LeaseLost · CapabilityRevoked · Stopped
└─ Unavailable                 retry_after_s: ProviderDown · SandboxDown · JournalDown · InstanceLocked
KernelBug                      a broken invariant: never handled
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

DownKind: TypeAlias = Literal["", "rate_limit", "overloaded", "server", "timeout", "network", "malformed"]
"""How a provider was down; "" where its adapter could not tell."""


class OxiosError(Exception):
    """The root: a stable `code`, a `message` that names what was wrong, a `remedy` that says what to do."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def explain(self) -> str:
        """One line for a person or a model."""
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class AccessDenied(OxiosError):
    code = "access_denied"

    def __init__(self, message: str, *, layer: str, need: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.layer = layer
        self.need = need


class ApprovalPending(OxiosError):
    code = "approval_pending"

    def __init__(self, message: str, *, approval: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.approval = approval


class Invalid(OxiosError):
    code = "invalid"


class NotFound(OxiosError):
    code = "not_found"


class Conflict(OxiosError):
    code = "conflict"


class LimitExceeded(OxiosError):
    code = "limit_exceeded"


class BudgetExhausted(LimitExceeded):
    code = "budget_exhausted"


class QueueFull(LimitExceeded):
    code = "queue_full"


class DeadlinePassed(LimitExceeded):
    code = "deadline_passed"


class CspaceFull(LimitExceeded):
    code = "cspace_full"


class LeaseLost(OxiosError):
    code = "lease_lost"


class CapabilityRevoked(OxiosError):
    code = "capability_revoked"


class Stopped(OxiosError):
    """The operator stopped the run; the work done so far stands in the journal."""

    code = "stopped"


class Unavailable(OxiosError):
    code = "unavailable"

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class ProviderDown(Unavailable):
    """`status` is the HTTP status that said so, 0 where there was none."""

    code = "provider_down"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        retry_after_s: float | None = None,
        status: int = 0,
        kind: DownKind = "",
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after_s=retry_after_s)
        self.status = status
        self.kind: DownKind = kind


class SandboxDown(Unavailable):
    code = "sandbox_down"


class JournalDown(Unavailable):
    code = "journal_down"


class InstanceLocked(Unavailable):
    code = "instance_locked"


class KernelBug(Exception):
    """A broken invariant. Nothing handles it: it ends the process."""
