"""Templates and samples: what comes along is a valid seed, and a new file never replaces one."""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from pathlib import Path

import pytest

from kernel.errors import Conflict, Invalid
from ouroboros.criteria import parse_criterion
from ouroboros.seed import SeedBudget, SeedSpec
from ouroboros.seedfile import parse_seed, read_seed
from ouroboros.seedforms import FORM_OF_SUFFIX
from oxios.cli.seed import configure, run

SAMPLES = sorted(item.name for item in files("oxios.samples").iterdir() if Path(item.name).suffix in FORM_OF_SUFFIX)


def _new(*words: str) -> int:
    parser = argparse.ArgumentParser()
    configure(parser)
    return run(argparse.Namespace(**vars(parser.parse_args(["new", *words])), quiet=True))


@pytest.mark.parametrize("name", SAMPLES)
def test_what_comes_along_is_valid(name: str) -> None:
    """Every template and sample is a seed in its notation."""
    text = (files("oxios.samples") / name).read_text(encoding="utf-8")
    assert parse_seed(text, FORM_OF_SUFFIX[Path(name).suffix], name).goal


@pytest.mark.parametrize("form", ["toml", "md", "json"])
def test_a_new_file_is_a_seed(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`seed new -o FILE` takes the notation from the suffix, and what it wrote can be submitted."""
    monkeypatch.chdir(tmp_path)
    assert _new("-o", f"mine.{form}") == 0
    spec = read_seed(f"mine.{form}", cwd=tmp_path).spec
    assert spec.goal.strip() == "Say what is to be done, in your own words."
    assert spec.criteria == spec.constraints == ()
    assert _new("-o", "mine.txt", "--form", form) == 0
    assert Path("mine.txt").read_text(encoding="utf-8") == Path(f"mine.{form}").read_text(encoding="utf-8")


def test_no_seed_is_written_under_a_suffix_that_reads_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suffix of another notation is refused with those there are; a name without one becomes TOML."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid, match=r"no seed is written as \.yaml") as refused:
        _new("-o", "mine.yaml")
    assert ".toml, .md or .json" in refused.value.remedy
    assert not Path("mine.yaml").exists()
    assert _new("-o", "mine") == 0
    assert parse_seed(Path("mine").read_text(encoding="utf-8"), "toml", "mine").goal


def test_the_toml_template_names_every_field_and_form() -> None:
    """With its comments opened, the template is a seed that uses every field, and it shows every criterion form."""
    text = (files("oxios.samples") / "template.toml").read_text(encoding="utf-8")
    fields = {*SeedSpec.model_fields, *SeedBudget.model_fields, "usd"} - {"micro_usd"}
    assert {name for name in fields if f"{name} = " in text or f"[{name}]" in text} == fields
    forms = ["file exists", "file absent", "file contains", "file matches", "command succeeds", "command fails"]
    for form in [*forms, "command outputs", "output contains", "output matches /", "output matches schema"]:
        assert form in text
    opened = re.sub(r"^# (?=\w+ = |\[budget\])", "", text, flags=re.MULTILINE)
    spec = parse_seed(opened, "toml", "template")
    assert spec.budget.micro_usd == 500_000
    assert spec.mounts[1].mode == "ro"


def test_a_file_that_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`seed new` refuses to write over a file, and says so of a place it cannot write."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("precious", encoding="utf-8")
    with pytest.raises(Conflict):
        _new("-o", "mine.toml")
    assert Path("mine.toml").read_text(encoding="utf-8") == "precious"
    with pytest.raises(Invalid):
        _new("-o", "nowhere/mine.toml")


def test_the_welcome_sample_can_fail() -> None:
    """The sample's criteria are all decided by a program, and none of them holds in an empty workspace but absence."""
    spec = parse_seed((files("oxios.samples") / "welcome.toml").read_text(encoding="utf-8"), "toml", "welcome")
    kinds = [parse_criterion(text).kind for text in spec.criteria]
    assert kinds == ["file_exists", "file_contains", "command_succeeds", "file_absent"]
