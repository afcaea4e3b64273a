"""`oxios seed submit`: read the seed, carry it out while a person watches, say what came of it.

Guarantees: the final answer (or one JSON object) is all that goes to stdout; the exit code is of the
table in `oxios.exits`; Ctrl-C leaves a paused run behind and says how to go on with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernel.capability.grants import grant_for
from kernel.errors import Invalid
from kernel.handle.persona import active_persona
from kernel.ids import RunId
from kernel.limits import SEED_BYTES_MAX
from kernel.persona import Persona, load_personas, pick
from ouroboros.criteria import is_near_miss, parse_criterion
from ouroboros.execute import Commission, SeedResult, carry_out
from ouroboros.seed import NAME_CHARS_MAX, Seed, SeedSpec
from ouroboros.seedfile import STDIN, SeedFile, read_seed
from ouroboros.verdict import Verdict
from ouroboros.workspace import Places, resolve_mounts
from oxios.attach import read_beside, read_named
from oxios.exits import Exit
from oxios.frame import here, read_stdin, say
from oxios.live import LiveView
from oxios.paint import harmless, painter
from oxios.recover import recovering
from oxios.seat import heard_here
from oxios.session import run_kernel

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue

_EXITS: Final = {"finished": Exit.OK, "failed": Exit.RUN_FAILED, "paused": Exit.PAUSED, "cancelled": Exit.STOPPED}


@dataclass(slots=True)
class _Under:
    """The run under way, for whoever interrupts it."""

    run: RunId | None = None


def submit(args: argparse.Namespace) -> int:
    """Raises: OxiosError: the seed is wrong, a mount is refused, the kernel cannot be opened."""
    stdin = read_stdin(args, SEED_BYTES_MAX + 1) if args.seed == STDIN else b""
    found = read_seed(args.seed, cwd=here(), stdin=stdin)
    spec = _overridden(found.spec, args)
    under = _Under()
    try:
        return run_kernel(args, lambda kernel: _submit(args, kernel, found, spec, under), listen=True)
    except KeyboardInterrupt:
        if under.run is None:
            raise
        say(f"stopped; `oxios runs resume {under.run}` goes on from here, `oxios runs cancel {under.run}` ends it")
        return Exit.STOPPED if args.exit_code else Exit.INTERRUPTED


async def _submit(args: argparse.Namespace, kernel: Kernel, found: SeedFile, spec: SeedSpec, under: _Under) -> int:
    _warn(spec, args)
    home = kernel.settings.home
    places = Places(cwd=here(), user_home=Path.home(), kernel_home=home)
    with found.blamed("persona", unless=args.persona):
        persona = await _persona(kernel, spec)
    if spec.model:
        with found.blamed("model", unless=args.model):
            kernel.supervisor.desk.provider_of(spec.model)
    with found.blamed("mounts"):
        mounts = resolve_mounts(spec.mounts, places, directory=found.directory, workspace=args.workspace)
    seed = Seed.new(spec, kernel.clock.now_us())
    with found.blamed("cspace_hint"):
        grant_for(seed.hint(), "", "worker")
    work = Commission(
        seed=seed,
        owner=kernel.operator,
        mounts=mounts,
        persona=persona,
        approve=args.approve,
        source=found.source,
        attached=(*read_beside(spec.attachments, found.directory), *read_named(args.attach, home)),
    )
    view = None if args.quiet else LiveView(painter(args, sys.stderr))

    def started(run: RunId) -> None:
        under.run = run
        if view is not None:
            kernel.bus.subscribe(run, heard_here(view.event))

    async with recovering(kernel, args):
        result = await carry_out(kernel, work, on_start=started, on_entry=heard_here(view.entry) if view else None)
    code = exit_of_result(result, strict=args.exit_code)
    _tell(args, result, work, code)
    return code


def exit_of_result(result: SeedResult, *, strict: bool) -> Exit:
    """With `strict` (--exit-code), criteria that were not met are an exit code of their own."""
    if strict and result.status == "finished" and result.passed is False:
        return Exit.CRITERIA_FAILED
    return _EXITS.get(result.status, Exit.RUN_FAILED)


def result_json(result: SeedResult, work: Commission, code: Exit) -> dict[str, JsonValue]:
    """The object of --json; its fields are stable."""
    verdict = (result.verdict or Verdict.of(())).json()
    return {
        "run": result.run,
        "seed": result.seed,
        "status": result.status,
        "note": result.note,
        "passed": verdict["passed"],
        "score": verdict["score"],
        "output": result.output,
        "findings": verdict["findings"],
        "gaps": verdict["gaps"],
        "turns": result.turns,
        "tokens_in": result.usage.input_tokens,
        "tokens_out": result.usage.output_tokens,
        "tokens_cached": result.usage.cached_tokens,
        "cost_micro_usd": result.cost_micro_usd,
        "model": result.model,
        "persona": work.persona.id if work.persona else "",
        "workspace": work.mounts[0].path,
        "duration_ms": round(result.seconds * 1000),
        "exit_code": int(code),
    }


def _tell(args: argparse.Namespace, result: SeedResult, work: Commission, code: Exit) -> None:
    if args.json:
        print(json.dumps(result_json(result, work, code), ensure_ascii=False))
    elif result.output:
        print(harmless(result.output) if sys.stdout.isatty() else result.output)
    sys.stdout.flush()
    if result.status == "paused":
        resumed = f"oxios runs resume {result.run}"
        say(f"paused: {result.note}" + ("" if resumed in result.note else f"\ntry: {resumed}"))
    elif result.status != "finished":
        say(f"{result.status}: {result.note}\ntry: oxios runs show {result.run}")
    elif result.verdict and result.verdict.gaps and args.quiet:
        say("criteria not met:\n" + "\n".join(f"- {gap}" for gap in result.verdict.gaps))
    seconds = f"{result.seconds:.1f} s"
    cached = f" ({result.usage.cached_tokens} cached)" if result.usage.cached_tokens else ""
    usage = f"{result.usage.input_tokens} tokens in{cached}, {result.usage.output_tokens} out"
    money = f"{result.cost_micro_usd / 1e6:.6f} USD"
    say(f"run {result.run}: {result.model}, {result.turns} turns, {usage}, {money}, {seconds}", args)


async def _persona(kernel: Kernel, spec: SeedSpec) -> Persona | None:
    name = spec.persona or await active_persona(kernel.journal, kernel.settings.persona.default)
    return pick(load_personas(kernel.settings.home), name) if name else None


def _overridden(spec: SeedSpec, args: argparse.Namespace) -> SeedSpec:
    flags = {key: value for key in ("model", "persona") if (value := getattr(args, key))}
    if any(len(value) > NAME_CHARS_MAX for value in flags.values()):
        raise Invalid(f"--model and --persona take a name of at most {NAME_CHARS_MAX} characters", remedy="shorten it")
    return spec.model_copy(update=flags)


def _warn(spec: SeedSpec, args: argparse.Namespace) -> None:
    for text in spec.criteria:
        criterion = parse_criterion(text)
        if is_near_miss(criterion):
            say(f"warning: no program can decide {text!r}; `oxios seed new` lists the forms one can", args)
