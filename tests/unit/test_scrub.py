"""Secrets are taken out; what only looks alike stays."""

from __future__ import annotations

import random
import string
import time

import pytest

from kernel.syscalls.scrub import Scrubber, looks_random, scrub, secret_values

_RANDOM = random.Random(7)


def token(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random text, the same in every run; made here so that no scanner takes this file for a leak."""
    return "".join(_RANDOM.choice(alphabet) for _ in range(length))


UPPER = string.ascii_uppercase + string.digits
SECRETS = {
    "an OpenAI key": "sk-" + token(48),
    "an Anthropic key": "sk-ant-api03-" + token(60),
    "a Stripe key": "sk_live_" + token(24),
    "a GitHub token": "ghp_" + token(36),
    "a fine-grained GitHub token": "github_pat_" + token(60),
    "a GitLab token": "glpat-" + token(20),
    "an AWS key id": "AKIA" + token(16, UPPER),
    "a temporary AWS key id": "ASIA" + token(16, UPPER),
    "a Google key": "AIza" + token(35),
    "a Slack token": "xoxb-" + token(12) + "-" + token(24),
    "an npm token": "npm_" + token(36),
    "a PyPI token": "pypi-" + token(80),
    "a Hugging Face token": "hf_" + token(34),
    "a JWT": f"eyJ{token(20)}.eyJ{token(40)}.{token(43)}",
}
AROUND = ("{}", 'key: "{}",', "export X={}\n", "({})", "see {}.", "'{}'", "\n{}\n", "https://h/?k={}&x=1")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_a_known_form_is_taken_out(name: str, around: str) -> None:
    """Whatever stands around it; and that stays."""
    scrubbed = scrub(around.format(SECRETS[name]))
    assert SECRETS[name][8:] not in scrubbed
    assert "[redacted: " in scrubbed
    before, _, after = around.partition("{}")
    assert scrubbed.startswith(before.split("{")[0][:4])
    assert scrubbed.endswith(after[-2:] if after.endswith(("\n", ",", ")", "'", "1")) else "")


def assigned(value: str) -> tuple[str, ...]:
    """The ways in which files and logs give a value to a word."""
    return (
        f"password={value}",
        f"PASSWORD: '{value}'",
        f'"api_key": "{value}"',
        f"client_secret = {value}",
        f"  token: {value}",
        f"AWS_SECRET_ACCESS_KEY={value}",
        f"db.passwd := {value};",
        f"auth-key => '{value}'",
    )


@pytest.mark.parametrize("value", [token(11) + "7", token(40), "Tr0ub4dor&3xy", token(32, "0123456789abcdef")])
def test_a_random_value_after_a_telling_word_is_taken_out(value: str) -> None:
    """Passwords and keys in assignments of many kinds."""
    for text in assigned(value):
        assert value not in scrub(text), text


ORDINARY = [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "integrity sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
    "id 123e4567-e89b-12d3-a456-426614174000",
    "token: str = os.environ['TOKEN']",
    "self.token = get_token(config)",
    "password = your-password-here",
    "password = <password>",
    "api_key=${API_KEY}",
    "token=config.api_token",
    "secret: changeme",
    "max_tokens: 8192",
    "tokens=12345678",
    "the token count: 1234",
    "key: value_of_something",
    "private_key: /etc/ssl/private/server.key",
    "token_url: https://example.org/oauth2/token",
    "cache-key: build-linux-x86-64-py311",
    "task-runner-with-sk-in-the-middle-of-a-name",
    "risk-assessment-2024-final-version-of-it",
    "Bearer authentication is described below",
    "Authorization: Bearer <token>",
    "git@github.com:owner/repo.git",
    "http://localhost:8080/path?x=a@b",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "/usr/lib/python3.11/site-packages/token_utils/secret_sharing.py:120",
    "def password(self) -> str: ...",
    "eyJ is how a JWT begins",
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ user@host",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Hashes, ids, paths, code, placeholders and public keys pass unchanged."""
    assert scrub(text) == text


def test_private_keys_are_taken_out_whole_and_also_when_cut() -> None:
    """From their first line to their last, or to the end of a text that was cut within."""
    for kind in ("", "RSA ", "OPENSSH ", "EC ", "ENCRYPTED "):
        block = f"-----BEGIN {kind}PRIVATE KEY-----\n{token(64)}\n{token(64)}\n-----END {kind}PRIVATE KEY-----"
        assert scrub(f"before\n{block}\nafter") == "before\n[redacted: private key]\nafter"
        assert scrub(f"before\n{block[:90]}") == "before\n[redacted: private key]"


def test_credentials_of_requests_are_taken_out() -> None:
    """Passwords in URLs and tokens in headers; the rest of the line stays."""
    secret = token(24)
    assert scrub(f"postgres://bob:{secret}@db:5432/x") == "postgres://bob:[redacted: password]@db:5432/x"
    assert scrub(f"Authorization: Bearer {secret}9 ok") == "Authorization: Bearer [redacted: token] ok"
    assert scrub(f"authorization: Basic {secret}9") == "authorization: Basic [redacted: token]"


def test_configured_values_never_pass() -> None:
    """The value of a variable named like a secret, or that the settings name, whatever its form."""
    environ = {
        "OPENAI_API_KEY": "plain words",
        "MY_TOKEN": "tok",
        "SSH_AUTH_SOCK": "/tmp/agent.socket",
        "TOKEN_FILE": "/run/secrets/token",
        "HOME": "/home/somebody",
        "ODD_NAME": "another value",
    }
    values = secret_values(environ, ("ODD_NAME",))
    assert values == ("another value", "plain words")
    scrubber = Scrubber(values)
    assert scrubber.scrub("a plain words b") == "a [redacted: configured key] b"
    scrubber.learn(("third value", "short"))
    assert scrubber.scrub("a short third value") == "a short [redacted: configured key]"


def test_a_longer_secret_is_replaced_before_one_that_it_contains() -> None:
    """No rest of the longer value is left over."""
    scrubber = Scrubber()
    scrubber.learn(("secretvalue", "secretvalue-and-more"))
    assert scrubber.scrub("secretvalue-and-more") == "[redacted: configured key]"


def test_scrubbing_twice_changes_nothing_more() -> None:
    """What was taken out is not taken for a secret again."""
    text = "\n".join((*SECRETS.values(), *assigned(token(30))))
    assert scrub(scrub(text)) == scrub(text)


def test_text_without_secrets_is_the_same_object() -> None:
    """The common case copies nothing."""
    text = "wrote a.txt: 5 bytes"
    assert scrub(text) is text


HOSTILE = (
    *("key=" + "a" * 400_000, "password" * 50_000, "://" + "a:" * 100_000, "api_key=" * 50_000, "eyJ" * 100_000),
    *("-----BEGIN PRIVATE KEY-----" * 5_000, "bearer " * 50_000, "sk-" * 100_000, "token" + " " * 400_000),
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    """Near-matches by the thousand end well within the time a quadratic scan would take."""
    started = time.process_time()
    scrub(text)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(("value", "random_looking"), [("Ab3dEf9hIj2k", True), ("aaaaaaaa1", False), ("hello", False)])
def test_randomness_is_judged_by_variety(value: str, random_looking: bool) -> None:
    """Repetition and plain words are not secrets."""
    assert looks_random(value) is random_looking
