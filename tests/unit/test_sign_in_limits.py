"""Tries to sign in, counted: how long the next one waits, for whom, and that it ends."""

from __future__ import annotations

import pytest

from kernel.testing.clock import FakeClock
from webui.security.limits import (
    FORGET_S,
    FREE_TRIES,
    KEYS_MAX,
    WAIT_ADDRESS_S_MAX,
    WAIT_NAME_S_MAX,
    SignInLimit,
    TooOften,
)
from webui.security.origin import Origins, split


def fail(limit: SignInLimit, times: int, address: str = "a", name: str = "") -> None:
    for _ in range(times):
        limit.begin(address, name)


def wait_of(limit: SignInLimit, address: str = "a", name: str = "") -> float:
    with pytest.raises(TooOften) as caught:
        limit.begin(address, name)
    return caught.value.retry_after_s


def test_each_failure_beyond_the_free_ones_doubles_the_wait() -> None:
    """One second, two, four; a moment before it is over it is not."""
    clock = FakeClock()
    limit = SignInLimit(clock)
    fail(limit, FREE_TRIES)
    for pause_s in (1, 2, 4, 8):
        assert wait_of(limit) == pause_s
        clock.advance(pause_s - 0.01)
        wait_of(limit)
        clock.advance(0.02)
        limit.begin("a")


def test_a_refused_try_does_not_lengthen_the_wait() -> None:
    """Who keeps knocking waits no longer for it."""
    limit = SignInLimit(FakeClock())
    fail(limit, FREE_TRIES)
    assert [wait_of(limit) for _ in range(20)] == [1] * 20


@pytest.mark.parametrize(("name", "most_s"), [("", WAIT_ADDRESS_S_MAX), ("bob", WAIT_NAME_S_MAX)])
def test_the_wait_is_bounded(name: str, most_s: float) -> None:
    """For a name by less, tried from ever new addresses, so that nobody locks a user out for good."""
    clock = FakeClock()
    limit = SignInLimit(clock)
    for number in range(40):
        limit.begin(f"a{number}" if name else "a", name)
        clock.advance(most_s)
    clock.advance(-most_s)
    assert wait_of(limit, "new" if name else "a", name) == most_s


def test_a_success_and_an_hour_forget() -> None:
    """Then the free tries are there again."""
    clock = FakeClock()
    limit = SignInLimit(clock)
    fail(limit, FREE_TRIES, name="bob")
    limit.passed("a", "bob")
    fail(limit, FREE_TRIES, name="bob")
    clock.advance(FORGET_S + 1)
    fail(limit, FREE_TRIES, name="bob")
    wait_of(limit, name="bob")


def test_what_is_remembered_is_bounded() -> None:
    """The address that was tried longest ago is forgotten for a new one; the newest are not."""
    limit = SignInLimit(FakeClock())
    fail(limit, FREE_TRIES, "first")
    for number in range(KEYS_MAX - 1):
        limit.begin(f"a{number}")
    wait_of(limit, "first")
    limit.begin("one more")
    limit.begin("first")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("A.example", ("a.example", 80)),
        ("a.example.:81", ("a.example", 81)),
        ("[::1]:81", ("::1", 81)),
        ("user@a.example", None),
        ("a.example/x", None),
        ("a.example?x", None),
        ("a.example:x", None),
        ("a.example:99999", None),
        ("[::1", None),
        ("", None),
        (":80", None),
    ],
)
def test_a_host_is_a_name_and_a_port_and_nothing_else(host: str, found: tuple[str, int] | None) -> None:
    """Upper case and the last dot are the same name."""
    assert split(host, 80) == found


def test_the_default_port_need_not_be_said() -> None:
    """Behind https it is 443, and another is another server."""
    origins = Origins.of("https://oxios.example", ())
    assert [origins.ours(host) for host in ("oxios.example", "oxios.example:443", "oxios.example:80")] == [
        True,
        True,
        False,
    ]
    same = {"host": "oxios.example", "origin": "https://oxios.example"}
    assert origins.refusal("POST", same) == ""
    assert origins.refusal("POST", {**same, "origin": "http://oxios.example:81"})


def test_the_address_that_was_reached_is_ours_and_no_name_is() -> None:
    """A number cannot be let point elsewhere; on this machine its other names come along, on its port."""
    origins = Origins.of("http://box:4200", ())
    for reached, host, ours in (
        (("192.0.2.7", 4200), "192.0.2.7:4200", True),
        (("::ffff:192.0.2.7", 4200), "192.0.2.7:4200", True),
        (("192.0.2.7", 4200), "192.0.2.8:4200", False),
        (("192.0.2.7", 4200), "192.0.2.7:80", False),
        (("192.0.2.7", 4200), "localhost:4200", False),
        (("127.0.0.1", 4200), "localhost:4200", True),
        (("::1", 4200), "[::1]:4200", True),
        (("127.0.0.1", 4200), "evil.example:4200", False),
        (("evil.example", 4200), "evil.example:4200", False),
        (("evil.example", None), "evil.example", False),
        (None, "localhost:4200", False),
        (None, "box:4200", True),
    ):
        assert origins.ours(host, reached) is ours, (reached, host)
