"""What is known of each model: context, answer, prices. Pinned by the installed `genai-prices`.

Guarantees: no network; the package is imported when a model of a vendor it may know is first asked
for, never for the embedded planner or a server on this machine. The operator's word beats the
provider's price, and that beats the catalog's. What nobody knows has the stated defaults and no
price.
Does not guarantee that a price is right: the catalog has the date it has, and it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from kernel.engine.modalities import modalities_of
from kernel.engine.sources import is_loopback
from kernel.ports.provider import Price
from kernel.settings import Settings
from kernel.settings.tree import ADDRESSES, ModelFactSettings, ProviderSettings

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice
    from genai_prices.types import Provider as Vendor

CONTEXT_TOKENS: Final = 128_000
OUTPUT_TOKENS: Final = 8_192
"""Of a model that nobody knows; the catalog never says how long an answer may be."""
MODELS_KEPT: Final = 1_000
DISTRIBUTION: Final = "genai-prices"
_MICRO: Final = 1_000_000
_APART: Final = ("audio", "image")

PriceSource: TypeAlias = Literal["settings", "provider", "catalog", "embedded", ""]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model, `provider/name`. `known` is False where everything is a default."""

    model: str
    context_tokens: int = CONTEXT_TOKENS
    output_tokens: int = OUTPUT_TOKENS
    price: Price | None = None
    price_source: PriceSource = ""
    known: bool = False
    modalities: tuple[str, ...] = ("text",)
    """Kinds of files it takes in; none for the embedded planner, which reads its instructions and no file."""
    vendor_model: str = ""
    """The catalog's own id of it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """Which catalog is installed. `newest` is the day of the newest price in force in it, ISO; it has no other date."""

    version: str
    newest: str


@dataclass(slots=True)
class Catalog:
    """The facts under one set of settings. `now_us` decides which of several dated prices holds."""

    settings: Settings
    now_us: Callable[[], int]
    _found: dict[str, ModelInfo | None] = field(default_factory=dict[str, "ModelInfo | None"])
    _lasting: dict[str, ModelFacts] = field(default_factory=dict[str, ModelFacts])
    """Facts that no date or hour changes."""

    def facts(self, model: str) -> ModelFacts:
        """Never raises: what is not known has its default."""
        found = self._lasting.get(model)
        if found is None:
            found = self._facts(model)
            info = self._found.get(model)
            if (info is None or not isinstance(info.prices, list)) and len(self._lasting) < MODELS_KEPT:
                self._lasting[model] = found
        return found

    def _facts(self, model: str) -> ModelFacts:
        provider_name, _, name = model.partition("/")
        provider = self.settings.providers.get(provider_name)
        if provider is None or provider.kind == "embedded":
            # A provider that stands beside the configured ones is the kernel's own, as the embedded one is.
            free = provider is not None
            return self._corrected(
                ModelFacts(model, price=Price(), price_source="embedded", known=True, modalities=())
                if free
                else ModelFacts(model)
            )
        info = self._info(model, name, provider)
        takes = modalities_of(name)
        found = ModelFacts(model, modalities=takes) if info is None else _facts_of(model, info, self._now(), takes)
        if provider.input_usd_per_mtok or provider.output_usd_per_mtok:
            full = _micro(provider.input_usd_per_mtok)
            price = Price(full, _micro(provider.output_usd_per_mtok), full)
            found = replace(found, price=price, price_source="provider")
        return self._corrected(found)

    def price_of(self, model: str) -> Price | None:
        """None where it is not known."""
        return self.facts(model).price

    def models_of(self, provider_name: str) -> tuple[str, ...]:
        """Every model, `provider/name`, that the catalog has of the provider's vendor; deprecated ones are left out."""
        provider = self.settings.providers.get(provider_name)
        vendor = None if provider is None else _vendor(provider)
        if vendor is None:
            return ()
        return tuple(f"{provider_name}/{one.id}" for one in vendor.models if not one.deprecated)

    def edition(self) -> Edition:
        """Imports the catalog."""
        return _edition(self._now().date().isoformat())

    def _info(self, model: str, name: str, provider: ProviderSettings) -> ModelInfo | None:
        if model not in self._found:
            if len(self._found) >= MODELS_KEPT:
                self._found.clear()
            vendor = _vendor(provider, name)
            bare = name.partition(":")[2] if provider.kind == "vendor" else name
            self._found[model] = vendor and vendor.find_model(bare, all_providers=_snapshot().providers)
        return self._found[model]

    def _corrected(self, found: ModelFacts) -> ModelFacts:
        said = self.settings.models.get(found.model)
        return found if said is None else _override(found, said)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.now_us() / _MICRO, UTC)


def _vendor(provider: ProviderSettings, name: str = "") -> Vendor | None:
    """The catalog's provider: named by the settings or by a model `VENDOR:MODEL`, else told by the address."""
    address = provider.base_url or ADDRESSES.get(provider.kind, "")
    named = provider.vendor or (name.partition(":")[0] if provider.kind == "vendor" else "")
    if named:
        from genai_prices.data_snapshot import find_provider_by_id  # noqa: PLC0415 -- as in _snapshot

        return find_provider_by_id(_snapshot().providers, named)
    if not address or is_loopback(urlsplit(address).hostname or ""):
        return None
    return next((one for one in _snapshot().providers if re.match(one.api_pattern, address)), None)


@cache
def _snapshot() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 -- 0.13 CPU-s and 23 MB

    return get_snapshot()


@cache
def _edition(today: str) -> Edition:
    import importlib.metadata  # noqa: PLC0415 -- 30 ms, for whoever asks for the edition

    days = (day for vendor in _snapshot().providers for one in vendor.models for day in _days(one))
    return Edition(importlib.metadata.version(DISTRIBUTION), max((day for day in days if day <= today), default=""))


def _days(info: ModelInfo) -> Iterator[str]:
    from genai_prices.types import StartDateConstraint  # noqa: PLC0415 -- as in _snapshot

    for one in info.prices if isinstance(info.prices, list) else ():
        if isinstance(one.constraint, StartDateConstraint):
            yield one.constraint.start_date.isoformat()


def _facts_of(model: str, info: ModelInfo, now: datetime, takes: tuple[str, ...]) -> ModelFacts:
    prices = info.get_prices(now)
    price = _price(prices)
    apart = tuple(kind for kind in _APART if getattr(prices, f"input_{kind}_mtok", None) is not None)
    return ModelFacts(
        model,
        context_tokens=info.context_window or CONTEXT_TOKENS,
        price=price,
        price_source="catalog" if price else "",
        known=True,
        modalities=tuple(dict.fromkeys((*takes, *apart))),
        vendor_model=info.id,
    )


def _price(prices: ModelPrice) -> Price | None:
    """Tokens' prices; None where the model is not sold by the token."""
    if getattr(prices, "input_mtok", None) is None or getattr(prices, "output_mtok", None) is None:
        return None
    names = ("input_mtok", "output_mtok", "output_reasoning_mtok", "cache_read_mtok", "cache_write_mtok")
    starts = sorted({tier.start for name in names for tier in getattr(getattr(prices, name, None), "tiers", ())})
    per_request = _at(prices, "requests_kcount", 0)
    base = _price_at(prices, 0, 0 if per_request is None else _ceil(per_request * 1000))
    return replace(base, tiers=tuple((start, _price_at(prices, start + 1, 0)) for start in starts))


def _price_at(prices: ModelPrice, tokens: int, per_request: int) -> Price:
    fresh = _rate(prices, "input_mtok", tokens) or 0
    answer = max(_rate(prices, "output_mtok", tokens) or 0, _rate(prices, "output_reasoning_mtok", tokens) or 0)
    cached = _rate(prices, "cache_read_mtok", tokens)
    written = _rate(prices, "cache_write_mtok", tokens)
    return Price(fresh, answer, fresh if cached is None else cached, written, per_request)


def _rate(prices: ModelPrice, name: str, tokens: int) -> int | None:
    value = _at(prices, name, tokens)
    return None if value is None else _ceil(value * _MICRO)


def _at(prices: ModelPrice, name: str, tokens: int) -> Decimal | None:
    from genai_prices.types import TieredPrices  # noqa: PLC0415 -- as in _snapshot

    value: Decimal | TieredPrices | None = getattr(prices, name, None)
    if isinstance(value, TieredPrices):
        return next((tier.price for tier in reversed(value.tiers) if tokens > tier.start), value.base)
    return value


def _override(found: ModelFacts, said: ModelFactSettings) -> ModelFacts:
    price = _said_price(found.price, said)
    return replace(
        found,
        context_tokens=said.context or found.context_tokens,
        output_tokens=said.output or found.output_tokens,
        price=price,
        price_source="settings" if price != found.price else found.price_source,
        modalities=said.modalities or found.modalities,
        known=True,
    )


def _said_price(have: Price | None, said: ModelFactSettings) -> Price | None:
    """`have` with what is said put in. Half a price is none: the other half would count as free."""
    fresh, answer = said.input_usd_per_mtok, said.output_usd_per_mtok
    if have is None and (fresh is None or answer is None):
        return None
    have = have or Price()
    if fresh is not None:  # A new price of input is also that of cached input, unless that is said too.
        full = _micro(fresh)
        have = replace(have, input_micro_usd=full, cached_micro_usd=full, written_micro_usd=None, tiers=())
    if answer is not None:
        have = replace(have, output_micro_usd=_micro(answer), tiers=())
    if said.cached_usd_per_mtok is not None:
        have = replace(have, cached_micro_usd=_micro(said.cached_usd_per_mtok))
    if said.written_usd_per_mtok is not None:
        have = replace(have, written_micro_usd=_micro(said.written_usd_per_mtok))
    return have


def _micro(usd: float) -> int:
    return _ceil(Decimal(str(usd)) * _MICRO)


def _ceil(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))
