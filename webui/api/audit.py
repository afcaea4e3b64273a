"""Audit: entries, the proof of one, consistency of two sizes, verification of the whole."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from webui import audit_view
from webui.desk import Desk
from webui.rest.entries import EntryOut, entry_out
from webui.rest.operation import operation
from webui.rest.paging import cursor_of, place_of
from webui.rest.shapes import SEQ_MAX, Asked, Page, Paging, Seq, Shape

SeqInPath = Annotated[int, Field(ge=1, le=SEQ_MAX, examples=[1])]


class AuditQuery(Paging):
    kind: Annotated[str, Field(max_length=64, examples=["call.denied"])] = ""
    principal: Annotated[str, Field(max_length=80, examples=["user:ada"])] = ""
    stream: Annotated[str, Field(max_length=80)] = ""


class SizesQuery(Asked):
    old: Annotated[int, Field(ge=0, le=SEQ_MAX)]
    new: Annotated[int, Field(ge=0, le=SEQ_MAX)]


class ProofEntry(Shape):
    """The entry, its payload as the text that was hashed."""

    seq: Seq
    time_us: int
    principal: str
    stream: str
    kind: str
    digest: str
    payload: str | None
    blobs: list[str] | None = None


class ProofOut(Shape):
    """What `scripts/verify_export.py`, or anybody with the public key, needs."""

    format: str
    entry: ProofEntry
    header: str
    leaf: str
    index: int
    size: int
    path: list[str]
    root: str
    checkpoint: str
    keys: list[str]


class ConsistencyOut(Shape):
    format: str
    old: int
    new: int
    old_root: str
    new_root: str
    path: list[str]
    size: int
    checkpoint: str


class FindingOut(Shape):
    kind: str
    seq: int | None
    message: str


class ReportOut(Shape):
    good: bool
    entries: int
    root: str
    checkpoints: int
    blobs: int
    erased: int
    duration_s: float
    findings: list[FindingOut]
    more_findings: int


@operation("GET", "/api/audit", "audit_entries")
async def audit_entries(desk: Desk, query: AuditQuery) -> Page[EntryOut]:
    """Entries that the user may see, the newest first.

    A page may be shorter than `limit` where `next` is not empty: the rest was not looked at yet.
    """
    place = place_of(query.cursor, int)
    looked = await audit_view.entries(
        desk,
        kind=query.kind,
        principal=query.principal,
        stream=query.stream,
        before=place[0] if place else 0,
        limit=query.limit,
    )
    return Page[EntryOut](
        items=[entry_out(entry) for entry in looked.entries], next=cursor_of(looked.before) if looked.before else ""
    )


@operation("GET", "/api/audit/consistency", "audit_consistency", faults=(404, 409))
async def audit_consistency(desk: Desk, query: SizesQuery) -> ConsistencyOut:
    """That the first `old` entries are the beginning of the first `new`."""
    return ConsistencyOut.model_validate(await audit_view.consistency_of(desk, query.old, query.new))


@operation("POST", "/api/audit/verify", "audit_verify", scope="read", faults=(404,))
async def audit_verify(desk: Desk) -> ReportOut:
    """Check every entry, hash and signature, now."""
    report = await audit_view.verified(desk)
    return ReportOut(
        good=report.good,
        entries=report.size,
        root=report.root,
        checkpoints=report.checkpoints,
        blobs=report.blobs,
        erased=report.erased,
        duration_s=round(report.duration_s, 3),
        findings=[FindingOut(kind=one.kind, seq=one.seq, message=one.message) for one in report.findings],
        more_findings=report.more,
    )


@operation("GET", "/api/audit/{seq}", "audit_entry")
async def audit_entry(desk: Desk, seq: SeqInPath) -> EntryOut:
    """One entry."""
    return entry_out(await audit_view.entry_of(desk, seq))


@operation("GET", "/api/audit/{seq}/proof", "audit_proof", faults=(409,))
async def audit_proof(desk: Desk, seq: SeqInPath) -> ProofOut:
    """That the entry is in the journal, against its signed checkpoint."""
    return ProofOut.model_validate(await audit_view.proof_of(desk, seq))


ROUTES = [audit_entries, audit_consistency, audit_verify, audit_entry, audit_proof]
