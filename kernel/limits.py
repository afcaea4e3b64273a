"""Every bound of the kernel in one place; each is enforced, and tested from both sides."""

from __future__ import annotations

from typing import Final

# Journal
ENTRY_PAYLOAD_BYTES_MAX: Final = 256 * 1024
BLOB_BYTES_MAX: Final = 64 * 1024 * 1024
JOURNAL_QUEUE_MAX: Final = 20_000
BUS_QUEUE_MAX: Final = 4_096

# Capabilities
CSPACE_SLOTS_MAX: Final = 512
DERIVE_DEPTH_MAX: Final = 16
RESOURCE_CHARS_MAX: Final = 4_096
RESOURCE_SEGMENTS_MAX: Final = 128

# Calls
ARGUMENT_BYTES_MAX: Final = 1024 * 1024
CALLS_PER_TURN_MAX: Final = 64
REPLY_CALLS_MAX: Final = 128
"""Of one reply, those that are kept; what is beyond CALLS_PER_TURN_MAX is answered and not carried out."""
CALL_ERROR_CHARS_MAX: Final = 2_000
PARALLEL_CALLS_MAX: Final = 8
MODEL_RESULT_BYTES_MAX: Final = 16 * 1024
CALL_DEADLINE_S: Final = 120.0
CALL_DEADLINE_S_MAX: Final = 600.0
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
ATTACHMENT_BYTES_MAX: Final = 16 * 1024 * 1024
ATTACHED_TEXT_BYTES_MAX: Final = 1024 * 1024
ATTACHMENTS_MAX: Final = 16
ATTACHMENTS_BYTES_MAX: Final = 32 * 1024 * 1024

# Runs
TURNS_MAX: Final = 100
RUN_DEADLINE_S: Final = 3_600.0
MODEL_DEADLINE_S: Final = 300.0
APPROVAL_WAIT_S: Final = 120.0
FORK_DEPTH_MAX: Final = 16
SEED_BYTES_MAX: Final = 256 * 1024

# Going in circles (kernel.runtime.stuck): told once, then the run ends
STUCK_RESULT_STEPS: Final = 4
STUCK_ERROR_STEPS: Final = 3
STUCK_ALTERNATIONS: Final = 3
STUCK_MONOLOGUE_TURNS: Final = 4
STUCK_STALE_STEPS: Final = 12
STUCK_COMPACTIONS: Final = 2

# Personas
PERSONA_BYTES_MAX: Final = 64 * 1024
PERSONAS_MAX: Final = 256
