"""`oxios onboard` without a terminal: what is found, tried, refused and written; and who answers on this machine."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

import oxios.onboard
from kernel.adapters.providers.discover import local_servers, offered_models
from kernel.engine.vault import Vault
from kernel.errors import ProviderDown
from kernel.ports.provider import Found, KeyRefused, ProviderConfig
from kernel.settings import load_settings
from kernel.testing.model_server import Answer, Fault, ModelServer, Raw, Reaction, model_server
from oxios.__main__ import main
from oxios.local_models import check_of


@contextmanager
def serving(*script: Reaction, models: tuple[str, ...] = ("embed-1", "talk-1")) -> Generator[ModelServer]:
    """A server on a thread of its own, since a command runs its own event loop."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(model_server(script)) as server,
    ):
        server.models = models
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, no keys in the environment, and no server found but those a test names."""
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("OXIOS")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    finding(monkeypatch)
    return tmp_path / "home"


def finding(monkeypatch: pytest.MonkeyPatch, *found: Found) -> None:
    async def servers() -> Sequence[Found]:
        await anyio.lowlevel.checkpoint()
        return found

    monkeypatch.setattr(oxios.onboard, "local_servers", servers)


def onboard(home: Path, *words: str) -> int:
    return main(["--home", str(home), "onboard", *words])


def written(home: Path) -> str:
    file = home / "config.toml"
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_flags_alone_configure_a_provider_that_works(home: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Tried over the wire with the key from the variable, then written; the same again changes nothing."""
    os.environ["MINE_KEY"] = "sk-never-stored"
    try:
        with serving(Answer("ok"), Answer("ok")) as server:
            words = ("--yes", "--provider", kind, "--base-url", server.url, "--model", "m-1", "--key-env", "MINE_KEY")
            assert onboard(home, *words) == 0
            first = written(home)
            assert onboard(home, *words) == 0
            assert [asked.body["model"] for asked in server.requests] == ["m-1", "m-1"]
            assert "sk-never-stored" in str(server.requests[0].headers)
    finally:
        del os.environ["MINE_KEY"]
    assert written(home) == first
    assert "sk-never-stored" not in first
    settings = load_settings(home=home, env={})
    assert settings.model.default == "local/m-1"
    assert (settings.providers["local"].kind, settings.providers["local"].key_env) == (kind, "MINE_KEY")
    told = capsys.readouterr()
    assert told.out == "local/m-1\n" * 2
    assert "nothing to change" in told.err


def test_a_kind_alone_is_enough_where_its_key_is_there(home: Path) -> None:
    """Without an address the maker's is meant, and nothing but kind and model is written."""
    assert onboard(home, "--provider", "anthropic", "--model", "claude-x", "--no-check") == 0
    settings = load_settings(home=home, env={})
    assert settings.providers["claude"].base_url == "https://api.anthropic.com"
    assert "base_url" not in written(home)
    assert settings.model.default == "claude/claude-x"


def test_a_server_on_this_machine_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --yes, the first server that has a model that talks."""
    with serving(Answer("ok")) as server:
        finding(monkeypatch, Found("ollama", server.url, ("nomic-embed", "llama3")))
        assert onboard(home, "--yes") == 0
        assert server.requests[0].body["model"] == "llama3"
    assert load_settings(home=home, env={}).model.default == "ollama/llama3"


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        ((), "no terminal", "--yes"),
        (("--yes",), "no model server answers", "embedded planner"),
        (("--provider", "anthropic", "--model", "m"), "ANTHROPIC_API_KEY is empty", "export ANTHROPIC_API_KEY"),
        (("--provider", "openai"), "no model of openai was named", "--model"),
        (("--base-url", "ftp://x", "--model", "m"), "base_url", "oxios config schema"),
        (("--base-url", "http://h/v1", "--model", "m", "--name", "embedded"), "built-in", "config schema"),
        (("--provider", "vendor", "--model", "nobody:m"), "cannot be asked", "VENDOR:MODEL"),
    ],
)
def test_a_refusal_says_what_to_do_and_writes_nothing(
    home: Path, words: tuple[str, ...], said: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is missing or wrong, the remedy is said and the file is not made."""
    assert onboard(home, *words) != 0
    told = capsys.readouterr().err
    assert said in told
    assert remedy in told
    assert not written(home)


@pytest.mark.parametrize("fault", [Fault(401, '{"error":{"message":"no"}}'), Fault(404), Raw(b"<html>", "text/html")])
def test_a_model_that_does_not_answer_is_not_written(
    home: Path, fault: Fault | Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider's own refusal is shown with the way round the check, which then writes."""
    with serving(fault, fault, fault) as server:
        words = ("--base-url", server.url, "--model", "m")
        assert onboard(home, *words) != 0
        assert "nothing was written" in (told := capsys.readouterr().err)
        assert "--no-check" in told
        assert not written(home)
        assert onboard(home, *words, "--no-check") == 0
    assert "m" in written(home)


def test_another_provider_is_not_overwritten_unless_it_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that was not chosen must not take another address's place; one that was may."""
    one = ("--model", "m", "--no-check")
    assert onboard(home, "--base-url", "http://a/v1", *one) == 0
    before = written(home)
    assert onboard(home, "--base-url", "http://b/v1", *one) != 0
    assert "--name local to replace it" in capsys.readouterr().err
    assert written(home) == before
    assert onboard(home, "--base-url", "http://b/v1", "--name", "local", *one) == 0
    assert load_settings(home=home, env={}).providers["local"].base_url == "http://b/v1"


def test_a_missing_model_is_answered_with_those_on_offer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which of several models is meant is not guessed; the list comes from the server."""
    with serving(models=("talk-1", "talk-2")) as server:
        assert onboard(home, "--base-url", server.url) != 0
    assert "talk-1, talk-2" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_an_address_is_taken_as_people_write_it(home: Path, end: str) -> None:
    """With or without its version, a slash, or the whole endpoint: what was tried is what is written and asked."""
    with serving(Answer("ok")) as server:
        base = server.url.removesuffix("/v1")
        assert onboard(home, "--base-url", f"{base}{end}", "--model", "talk-1") == 0
        assert server.requests[0].path == "/v1/chat/completions"
    assert load_settings(home=home, env={}).providers["local"].base_url.startswith(f"{base}/v1")


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        ({"LLM_API_KEY": "good"}, "env:LLM_API_KEY"),
        ({"MINE_API_KEY_1": "bad", "MINE_API_KEY_2": "good"}, "env:MINE_API_KEY_2"),
        (("bad", "good"), "file#2"),
    ],
)
def test_a_provider_is_tried_with_the_keys_that_a_run_would_find(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    keys: dict[str, str] | tuple[str, ...], source: str,
) -> None:  # fmt: skip
    """In their order, the next where one is refused; the one that works is named by its source alone."""
    for name, value in keys.items() if isinstance(keys, dict) else ():
        monkeypatch.setenv(name, value)
    for value in keys if isinstance(keys, tuple) else ():
        Vault(home / "keys").add("mine", value)
    refused = Fault(401, '{"error":{"message":"no"}}')
    with serving() as server:
        server.respond = lambda asked: Answer("ok") if asked.headers["Authorization"].endswith("good") else refused
        assert onboard(home, "--base-url", server.url, "--name", "mine", "--model", "talk-1") == 0
    told = capsys.readouterr()
    assert f"mine/talk-1 answers, with the key {source}" in told.err
    assert "good" not in told.err + told.out + written(home)


class Typed(io.StringIO):
    """A terminal at which these lines were typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("lines", "model"),
    [("1\n2\n", "ollama/b"), ("4\nhttp://h:1/v1\n\n", ""), ("9\n", ""), ("", ""), ("1\nx\n", "")],
)
def test_a_person_chooses_by_number(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: str, model: str
) -> None:
    """A server, then its model; what is no number on offer, or no answer, writes nothing and says so."""
    finding(monkeypatch, Found("ollama", "http://127.0.0.1:9/v1", ("a", "b")))
    monkeypatch.setattr("sys.stdin", Typed(lines))
    code = onboard(home, "--no-check")
    told = capsys.readouterr().err
    assert "1. ollama on this machine, at http://127.0.0.1:9/v1: a, b" in told
    assert "ANTHROPIC_API_KEY is NOT set" in told
    assert (code == 0) == bool(model)
    if model:
        assert load_settings(home=home, env={}).model.default == model
    else:
        assert "try:" in told
        assert not written(home)


def test_local_servers_are_found_by_their_list_of_models() -> None:
    """What answers in another form, or not at all, is not found; the others are, in order."""

    async def main() -> None:
        async with model_server() as server, model_server() as other:
            server.models, other.models = ("a", "b c", "d"), ()
            ports = {int(one.url.split(":")[2].split("/")[0]): name for one, name in ((other, "y"), (server, "x"))}
            found = await local_servers({**ports, 1: "nobody"})
        assert [(one.name, one.models) for one in found] == [("y", ()), ("x", ("a", "d"))]
        assert found[1].base_url == server.url

    anyio.run(main)


def test_offered_models_are_listed_with_the_key_or_refused() -> None:
    """Both wire formats list; a key that is not there, and a server that is not, are typed."""

    async def main() -> None:
        async with model_server() as server:
            for kind in ("openai", "anthropic"):
                assert await offered_models(ProviderConfig("p", kind, server.url), {}) == ("scripted-1",)
            with pytest.raises(KeyRefused):
                await offered_models(ProviderConfig("p", "openai", server.url, "P_KEY"), {})
            url = server.url
        with pytest.raises(ProviderDown, match="cannot be reached"):
            await offered_models(ProviderConfig("p", "openai", url), {})

    anyio.run(main)


def test_doctor_offers_a_server_that_no_provider_uses(tmp_path: Path) -> None:
    """Found and not configured: said with what to do. Configured: said. None: said."""
    settings = load_settings(home=tmp_path, env={}, overrides={"providers.o.base_url": "http://localhost:11434/v1"})
    ollama = Found("ollama", "http://127.0.0.1:11434/v1", ("a", "b", "c", "d"))
    vllm = Found("vllm", "http://127.0.0.1:8000/v1", ())
    assert "no model server" in check_of((), settings).detail
    assert check_of((ollama,), settings).remedy == ""
    assert "a, b, c and 1 more" in check_of((ollama,), settings).detail
    assert check_of((ollama, vllm), settings).remedy == "to use vllm: oxios onboard"
