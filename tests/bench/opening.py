"""What every request begins with: the prompt and the tools that the kernel sends, for the floor to send as well."""

from __future__ import annotations

from pathlib import Path

from kernel.adapters.providers.chat.encode import encode_request
from kernel.capability.grants import instantiate, named
from kernel.directive import Directive, ExecEnv, Mount
from kernel.ports.provider import Message, ModelRequest
from kernel.runtime.prompt import PromptParts, system_prompt, user_prompt
from kernel.settings.tree import RunSettings
from kernel.syscalls.table import discover
from tests.bench.model_process import MODEL, goal_of


def opening(workspace: Path) -> bytes:
    """The body of a run's first request."""
    table, directive = discover(), Directive(goal_of(0))
    specs = table.tool_specs(item.name for item in table.offered())
    mounts = (Mount(str(workspace)),)
    domains = sorted({resource.kind for resource, _ in instantiate(named(RunSettings().grant), mounts)})
    parts = PromptParts(directive, ExecEnv(mounts), specs, domains)
    messages = (Message("system", system_prompt(parts)), Message("user", user_prompt(directive)))
    return b"".join(encode_request(ModelRequest(MODEL, messages, specs), MODEL, "max_tokens"))
