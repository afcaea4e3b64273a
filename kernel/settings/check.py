"""Checks that need more than one setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kernel.settings.source import Origin
from kernel.settings.tree import EMBEDDED, Settings


def cross_problems(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[str]:
    """A line for each contradiction, naming the origin of the value that is at fault."""
    provider = settings.model.default.partition("/")[0]
    if provider not in settings.providers:
        known = ", ".join(sorted(settings.providers))
        yield (
            f"{_at(origins, 'model.default')}: model.default: no provider {provider!r} is configured; "
            f"allowed: {known}, or add [providers.{provider}]"
        )
    yield from _routed(settings, origins)
    for name, one in settings.providers.items():
        key = f"providers.{name}"
        if name == EMBEDDED and one.kind != "embedded":
            yield f"{_at(origins, f'{key}.kind')}: {key}.kind: this name is the built-in provider's; use another name"
    if settings.search.provider == "searxng" and not settings.search.url:
        yield f"{_at(origins, 'search.provider')}: search.url: SearXNG needs one; allowed: an http(s) URL"
    if settings.search.provider == "brave" and not settings.search.key_env:
        yield (
            f"{_at(origins, 'search.provider')}: search.key_env: Brave needs a key; "
            "allowed: the NAME of an environment variable"
        )


def _routed(settings: Settings, origins: Mapping[str, Origin]) -> Iterator[str]:
    """Models that are asked without being named by a run must have their provider."""
    routing = settings.routing
    named = [("routing.fallbacks", model) for model in routing.fallbacks]
    named += [(f"routing.phases.{phase}", model) for phase, model in routing.phases.items()]
    named += [(f"routing.personas.{persona}", model) for persona, model in routing.personas.items()]
    for key, model in named:
        provider = model.partition("/")[0]
        if provider not in settings.providers:
            yield (
                f"{_at(origins, key)}: {key}: no provider {provider!r} is configured; "
                f"allowed: {', '.join(sorted(settings.providers))}, or add [providers.{provider}]"
            )


def _at(origins: Mapping[str, Origin], key: str) -> str:
    """The origin of a key, or of the first value below it."""
    found = origins.get(key) or next((one for have, one in origins.items() if have.startswith(f"{key}.")), None)
    return str(found or Origin("default"))
