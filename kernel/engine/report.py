"""What is known of the models, as plain data: for the command line, the pages and the API alike.

Guarantees: no key is in it; a price nobody knows is None, never 0.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kernel.engine.catalog import Catalog, ModelFacts
from kernel.engine.stats import RoutingStats
from kernel.ports.provider import Price
from kernel.settings import Settings
from kernel.settings.tree import PLANNER


def configured(settings: Settings) -> tuple[str, ...]:
    """Every model that the settings name, the default first."""
    routing = settings.routing
    named = (settings.model.default, *routing.fallbacks, *routing.phases.values(), *routing.personas.values())
    return tuple(dict.fromkeys((*named, *settings.models, PLANNER)))


def fact_fields(one: ModelFacts) -> dict[str, Any]:
    return {
        "model": one.model,
        "context_tokens": one.context_tokens,
        "output_tokens": one.output_tokens,
        "modalities": one.modalities,
        "known": one.known,
        "price_source": one.price_source,
        "price": None if one.price is None else _price_fields(one.price),
    }


def stats_fields(stats: RoutingStats, settings: Settings, catalog: Catalog, now_us: int) -> dict[str, Any]:
    """Everything the statistics say, as plain data."""
    alone = stats.alone(dict.fromkeys((*stats.models, *configured(settings))), catalog.price_of)
    best = stats.best(alone)
    return {
        "models": [
            {
                "model": one.model,
                "answered_as": one.answered_as,
                "calls": one.calls,
                "replies": one.replies,
                "failures": dict(sorted(one.failures.items())),
                "tokens": {"in": one.input_tokens, "out": one.output_tokens, "cached": one.cached_tokens},
                "micro_usd": one.cost_micro_usd,
                "assumed_micro_usd": one.assumed_micro_usd,
                "ms_p50": one.latency_ms(50),
                "ms_p95": one.latency_ms(95),
                "alone_micro_usd": alone.get(one.model),
            }
            for one in stats.models.values()
        ],
        "micro_usd": stats.cost_micro_usd,
        "assumed_micro_usd": stats.assumed_micro_usd,
        "alone_micro_usd": dict(alone),
        "best_single": {"model": best, "micro_usd": alone[best]} if best else None,
        "fallbacks": [asdict(event) for event in stats.fallbacks],
        "breakers": [
            {"model": model, "key": key, "state": state, "failures": failures}
            for (model, key), (state, failures) in stats.breakers(now_us).items()
        ],
    }


def _price_fields(price: Price) -> dict[str, Any]:
    fields = asdict(price)
    fields["tiers"] = [{"above_tokens": start, **_price_fields(tier)} for start, tier in price.tiers]
    return fields
