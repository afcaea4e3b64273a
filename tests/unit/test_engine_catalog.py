"""What is known of models: the catalog, the operator's word, and what tokens cost."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from kernel.engine.catalog import CONTEXT_TOKENS, OUTPUT_TOKENS, Catalog
from kernel.engine.money import cost, cost_at_most
from kernel.ports.provider import Price, Usage
from kernel.settings import Settings, load_settings
from kernel.settings.source import SettingsInvalid

NOW_US = 1_790_000_000_000_000  # 2026-09-21
CONFIG = """
[providers.openai]
base_url = "https://api.openai.com/v1"
[providers.claude]
base_url = "https://api.anthropic.com/v1"
[providers.local]
base_url = "http://127.0.0.1:11434/v1"
[providers.proxy]
base_url = "http://127.0.0.1:4000/v1"
vendor = "openai"
[providers.flat]
base_url = "https://flat.test/v1"
input_usd_per_mtok = 0.5
output_usd_per_mtok = 1.5
"""


def settings(tmp_path: Path, more: str = "", **flags: str) -> Settings:
    (tmp_path / "config.toml").write_text(CONFIG + more)
    (tmp_path / "config.toml").chmod(0o600)
    return load_settings(home=tmp_path, cwd=tmp_path, env={"HOME": "/h"}, overrides=flags, system_file=tmp_path / "no")


def catalog(tmp_path: Path, more: str = "") -> Catalog:
    return Catalog(settings(tmp_path, more), lambda: NOW_US)


def test_a_vendors_model_has_the_catalogs_facts(tmp_path: Path) -> None:
    """Context and the four prices of a model that the catalog has, by the provider's address."""
    facts = catalog(tmp_path).facts("openai/gpt-4o")
    assert (facts.context_tokens, facts.price_source, facts.vendor_model) == (128_000, "catalog", "gpt-4o")
    assert facts.price == Price(2_500_000, 10_000_000, 1_250_000)
    long = catalog(tmp_path).facts("claude/claude-sonnet-4-5").price
    assert long is not None
    assert (long.input_micro_usd, long.written_micro_usd, long.tiers[0][0]) == (3_000_000, 3_750_000, 200_000)
    assert long.tiers[0][1].input_micro_usd == 6_000_000


def test_a_proxy_that_names_its_vendor_has_its_prices(tmp_path: Path) -> None:
    """An address that says nothing is helped by `vendor`."""
    assert catalog(tmp_path).facts("proxy/gpt-4o").price == catalog(tmp_path).facts("openai/gpt-4o").price


@pytest.mark.parametrize(
    "model", ["every/openai:gpt-4o", "every/google-gla:gemini-2.5-pro", "every/anthropic:claude-sonnet-4-5"]
)
def test_a_model_that_names_its_vendor_has_its_prices(tmp_path: Path, model: str) -> None:
    """`VENDOR:MODEL`, as providers of kind vendor are asked."""
    facts = catalog(tmp_path, '[providers.every]\nkind = "vendor"\n').facts(model)
    assert facts.vendor_model == model.partition(":")[2]
    assert facts.price is not None


@pytest.mark.parametrize("model", ["local/llama3", "openai/no-such-model", "flat/x", "nowhere/x", "local"])
def test_what_nobody_knows_has_the_stated_defaults(tmp_path: Path, model: str) -> None:
    """128k of context, 8k of answer; no price, unless its provider has one."""
    facts = catalog(tmp_path).facts(model)
    assert (facts.context_tokens, facts.output_tokens) == (CONTEXT_TOKENS, OUTPUT_TOKENS)
    assert facts.price == (Price(500_000, 1_500_000, 500_000) if model == "flat/x" else None)


def test_the_planner_is_free(tmp_path: Path) -> None:
    """Nothing, not unknown."""
    assert catalog(tmp_path).price_of("embedded/planner") == Price()


def test_the_operators_word_beats_provider_and_catalog(tmp_path: Path) -> None:
    """Each fact can be corrected for one model, by its name with dots, and the rest stays as it was."""
    found = catalog(
        tmp_path,
        """
[models."openai/gpt-4.1"]
context = 5000
input_usd_per_mtok = 1.25
[models."flat/x"]
output = 99
output_usd_per_mtok = 0.000001
cached_usd_per_mtok = 0.1
written_usd_per_mtok = 0.7
""",
    )
    before = catalog(tmp_path).facts("openai/gpt-4.1")
    facts = found.facts("openai/gpt-4.1")
    assert before.price is not None
    assert facts.price == Price(1_250_000, before.price.output_micro_usd, 1_250_000)
    assert (facts.context_tokens, facts.output_tokens, facts.price_source) == (5000, OUTPUT_TOKENS, "settings")
    flat = found.facts("flat/x")
    assert (flat.output_tokens, flat.price) == (99, Price(500_000, 1, 100_000, 700_000))


def test_half_a_price_is_none(tmp_path: Path) -> None:
    """Where only one of input and output is known, the other must not count as free."""
    half = '[models."local/x"]\ninput_usd_per_mtok = 1\n'
    assert catalog(tmp_path, half).price_of("local/x") is None
    assert catalog(tmp_path, half + "output_usd_per_mtok = 0\n").price_of("local/x") == Price(1_000_000, 0, 1_000_000)


def test_a_model_with_dots_is_set_by_flag_too(tmp_path: Path) -> None:
    """`--set models.openai/gpt-4.1.context=7` names the same setting as the file's quoted table."""
    found = settings(tmp_path, **{"models.openai/gpt-4.1.context": "7"})
    assert found.models["openai/gpt-4.1"].context == 7


def test_a_routed_model_without_its_provider_is_refused(tmp_path: Path) -> None:
    """A fallback that could never answer is said when the settings are read."""
    with pytest.raises(SettingsInvalid, match="no provider 'gone'"):
        settings(tmp_path, '[routing]\nfallbacks = ["gone/x"]\n')


def test_the_edition_is_dated(tmp_path: Path) -> None:
    """The package's version, and the newest price that is in force on the day."""
    edition = catalog(tmp_path).edition()
    assert edition.version[0].isdigit()
    assert "2025-01-01" < edition.newest <= "2026-09-21"


def test_the_vendors_models_can_be_listed(tmp_path: Path) -> None:
    """Under the provider's own name; none where no vendor is known."""
    assert "openai/gpt-4o" in catalog(tmp_path).models_of("openai")
    assert catalog(tmp_path).models_of("local") == ()


def test_a_price_of_the_hour_follows_the_clock(tmp_path: Path) -> None:
    """DeepSeek's off-peak price holds off-peak."""
    config = settings(tmp_path, '[providers.deepseek]\nbase_url = "https://api.deepseek.com"\n')
    midnight_us = NOW_US // 86_400_000_000 * 86_400_000_000
    prices = {
        Catalog(config, lambda hour=hour: midnight_us + hour * 3_600_000_000).price_of("deepseek/deepseek-chat")
        for hour in (10, 20)
    }
    assert len(prices) == 2


@pytest.mark.parametrize(
    ("model", "vendor"), [("gpt-4o", "openai"), ("gpt-5", "openai"), ("claude-sonnet-4-5", "anthropic")]
)
@pytest.mark.parametrize("size", [0, 1, 999, 199_999, 200_000, 200_001, 900_000])
def test_costs_agree_with_the_package(tmp_path: Path, model: str, vendor: str, size: int) -> None:
    """Ours is the package's own sum for the same usage, rounded up to a micro-dollar."""
    provider = {"openai": "openai", "anthropic": "claude"}[vendor]
    price = catalog(tmp_path).price_of(f"{provider}/{model}")
    cached = size // 3
    ours = cost(price, Usage(size, 777, cached))
    theirs = TheirUsage(input_tokens=size, output_tokens=777, cache_read_tokens=cached)
    assert ours == math.ceil(calc_price(theirs, model, provider_id=vendor).total_price * 1_000_000)


def test_what_is_not_priced_apart_costs_what_the_rest_does(tmp_path: Path) -> None:
    """Cached prompt without a price of its own is input."""
    assert catalog(tmp_path).price_of("openai/davinci-002") == Price(2_000_000, 2_000_000, 2_000_000)


def test_costs_are_rounded_up_and_bounded() -> None:
    """One token is not free; a request fee counts once; nothing known costs nothing."""
    assert cost(Price(1, 1, 1), Usage(1, 0)) == 1
    assert cost(Price(request_micro_usd=5), Usage(10, 10)) == 5
    assert (cost(None, Usage(9, 9)), cost_at_most(None, 9, 9)) == (0, 0)
    assert cost(Price(1_000_000, 0, 0), Usage(10, 0, cached_tokens=99)) == 0


def test_nothing_heavy_is_imported_without_need(tmp_path: Path) -> None:
    """Neither the engine nor the facts of a local model import the catalog or an HTTP library."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "config.toml").chmod(0o600)
    code = (
        "import sys; from pathlib import Path; import kernel.engine.engine\n"
        "from kernel.engine.catalog import Catalog; from kernel.settings import load_settings\n"
        f"s = load_settings(home=Path({str(tmp_path)!r}), cwd=Path('/'), env={{'HOME': '/h'}})\n"
        "facts = Catalog(s, lambda: 0)\n"
        "facts.facts('local/llama3'), facts.facts('embedded/planner')\n"
        "print({'genai_prices', 'httpx2', 'keyring', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_the_package_still_has_what_we_read() -> None:
    """A release that renames a field is seen here, not as a price of nothing."""
    sold = [one for vendor in get_snapshot().providers for one in vendor.models if isinstance(one.prices, ModelPrice)]
    assert sum(getattr(one.prices, "input_mtok", None) is not None for one in sold) > 500
    assert sum(one.context_window is not None for one in sold) > 300
