"""Finding out whether a sandbox works here, by really starting a process in it."""

from __future__ import annotations

import tempfile
from typing import Final

from kernel.errors import OxiosError
from kernel.ports.sandbox import Bind, Bounds, Command, Probe, Sandbox, Tier

_LOOK: Final = "grep CapEff /proc/self/status; ls /proc | grep -c '^[0-9]'"
_DEADLINE_S: Final = 10.0


def probe_command(folder: str) -> Command:
    """A command that tells its capabilities and how many processes it sees."""
    bounds = Bounds(deadline_s=_DEADLINE_S)
    return Command(("/bin/bash", "-c", _LOOK), folder, (Bind(folder, writable=False),), bounds=bounds)


async def probe_outcome(sandbox: Sandbox, tier: Tier) -> Probe:
    """Run it and judge: a tier works where the process ran and was as confined as the tier says."""
    try:
        # A folder of its own: what lies in a shared one, the home perhaps, says nothing of the tier.
        with tempfile.TemporaryDirectory(prefix="oxios-probe-") as folder:
            finished = await sandbox.run(probe_command(str(folder)))
    except OxiosError as error:
        return Probe(tier, works=False, reason=error.message, remedy=error.remedy)
    said = finished.output.decode("utf-8", errors="replace").split()
    if finished.exit_code != 0:
        return Probe(tier, works=False, reason=f"the test command failed: {' '.join(said)[:300]}")
    if tier == "none":
        return Probe(tier, works=True, reason="commands run unconfined: sandbox.tier is none")
    if said[1:2] != ["0000000000000000"]:
        return Probe(tier, works=False, reason=f"the test command kept capabilities {said[1:2]}")
    return Probe(tier, works=True, reason="a test command ran without capabilities, in its own namespaces")
