"""Egress: which URLs are read, which addresses are public, and what a redirect may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from kernel.capability.resource import Resource
from kernel.gate.addresses import is_public, literal
from kernel.gate.decision import Denied
from kernel.gate.egress import ADDRESSES_MAX, URL_CHARS_MAX, Egress, EgressLayer, private_hosts, resolve_url
from kernel.ids import Principal, agent
from kernel.syscalls.target import UrlClaim, UrlTarget
from tests.unit.gate_case import RUN, case_of

WHO = agent(RUN)


class Names:
    """A resolver that knows what it was given, and counts what it was asked."""

    def __init__(self, known: Mapping[str, tuple[str, ...]]) -> None:
        self.known = known
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append(host)
        if host not in self.known:
            raise OSError(f"{host} is unknown")
        return self.known[host]


class Silence:
    """A resolver that never answers."""

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        await anyio.sleep_forever()
        raise AssertionError


def read(url: str) -> UrlTarget:
    found = resolve_url(UrlClaim(url))
    assert isinstance(found, UrlTarget), found
    return found


def egress(
    known: Mapping[str, tuple[str, ...]],
    *named: str,
    covers: Callable[[Principal, Resource], bool] = lambda _who, _what: True,
) -> Egress:
    return Egress(Names(known), covers, private_hosts(named))


def outcome(awaited: Callable[[], Awaitable[UrlTarget | Denied]]) -> UrlTarget | Denied:
    async def main() -> UrlTarget | Denied:
        return await awaited()

    return anyio.run(main)


@pytest.mark.parametrize(
    ("url", "canonical", "host", "port"),
    [
        ("https://Example.COM", "https://example.com/", "example.com", 443),
        ("http://a.example:8080/x?q=1#frag", "http://a.example:8080/x?q=1", "a.example", 8080),
        ("http://a.example:80/", "http://a.example/", "a.example", 80),
        ("https://a.example./x", "https://a.example/x", "a.example", 443),
        ("https://bücher.example/ü?q=ü", "https://xn--bcher-kva.example/%C3%BC?q=%C3%BC", "xn--bcher-kva.example", 443),
        ("https://a.example/%2e%2e?x=%20", "https://a.example/%2e%2e?x=%20", "a.example", 443),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/", "[2606:4700::1111]", 80),
        ("http://1.2.3.4/", "http://1.2.3.4/", "1.2.3.4", 80),
    ],
)
def test_a_url_is_read_into_one_form(url: str, canonical: str, host: str, port: int) -> None:
    """What is fetched is rebuilt from what was checked: host in ASCII, no fragment, usual port left out."""
    found = read(url)
    assert (found.url, found.host, found.port, found.addresses) == (canonical, host, port, ())


@pytest.mark.parametrize(
    "spelling",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
        "0X7F.0.0.1", "127.0.0.1.",
        "\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11", "127\u30020\u30020\u30021",
    ],
)  # fmt: skip
def test_every_spelling_of_loopback_is_loopback(spelling: str) -> None:
    """Decimal, octal, hexadecimal, short, full-width: all of them are 127.0.0.1, and refused."""
    target = read(f"http://{spelling}/")
    assert target.host == "127.0.0.1"
    assert isinstance(outcome(lambda: egress({}).pin(target)), Denied)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://a.example/", "neither http nor https"),
        ("file:///etc/passwd", "neither http nor https"),
        ("javascript:1", "neither http nor https"),
        ("a.example/x", "neither http nor https"),
        ("//a.example/x", "neither http nor https"),
        ("http://user:secret@a.example/", "user name or password"),
        ("http://a.example@b.example/", "user name or password"),
        ("http://", "not a host"),
        ("http:///x", "not a host"),
        ("http://a.example:0/", "not a port"),
        ("http://a.example:65536/", "not a URL"),
        ("http://a.example:x/", "not a URL"),
        ("http://a b.example/", "space"),
        ("http://a.example/\r\nHost: b", "space"),
        ("http://a.example\\@b.example/", "backslash"),
        ("http://[::1", "not a URL"),
        ("http://[fe80::1%25eth0]/", "network interface"),
        ("http://1.2.3.4.5/", "not a host"),
        ("http://256.0.0.1/", "not a host"),
        ("http://0x100000000/", "not a host"),
        ("http://a..example/", "not a host"),
        ("http://-a.example/", "not a host"),
        ("http://a!b.example/", "not a host"),
        ("http://" + "a" * 64 + ".example/", "not a host"),
        ("http://a.example/" + "x" * URL_CHARS_MAX, "too long"),
    ],
)
def test_a_url_that_is_not_plain_is_refused(url: str, says: str) -> None:
    """Other schemes, credentials, splitting characters and broken hosts each get a clear refusal."""
    found = resolve_url(UrlClaim(url))
    assert isinstance(found, Denied)
    assert found.layer == "egress"
    assert says in found.reason
    assert found.remedy


def test_a_refused_url_does_not_repeat_its_password() -> None:
    """A refusal goes to the journal: it holds no credentials."""
    found = resolve_url(UrlClaim("http://user:secret@a.example/"))
    assert isinstance(found, Denied)
    assert "secret" not in found.reason + found.remedy


def test_the_longest_url_passes() -> None:
    """The bound refuses from one character above only."""
    stem = "http://a.example/"
    assert read(stem + "x" * (URL_CHARS_MAX - len(stem)))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1",
        "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "64:ff9b:1::808:808", "100::1", "2001:0:808:808::f5ff:fffe", "2001:0:a00:1::1", "2001:2::1", "2001:10::1",
        "2001:db8::1", "2002:7f00:1::", "2002:c0a8:101::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fdff::1",
        "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_for_strangers_are_not_public(address: str) -> None:
    """Private, local, reserved and multicast addresses, and those that carry one inside."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_addresses_are_public(address: str) -> None:
    """The neighbours of each private range, and public addresses carried inside others."""
    assert is_public(address)


def test_a_host_whose_addresses_are_public_is_pinned_and_resolved_once() -> None:
    """The layer asks the resolver once and puts every address into the target."""
    names = Names({"a.example": ("8.8.8.8", "2606:4700::1111")})
    case = case_of(targets={"http://a.example/": read("http://a.example/")})
    assert anyio.run(EgressLayer(Egress(names, lambda _who, _what: True)).check, case) is None
    pinned = case.targets["http://a.example/"]
    assert isinstance(pinned, UrlTarget)
    assert pinned.addresses == ("8.8.8.8", "2606:4700::1111")
    assert names.asked == ["a.example"]


def test_one_private_address_among_public_ones_refuses() -> None:
    """A name that also leads inside is not fetched at all."""
    found = outcome(lambda: egress({"a.example": ("8.8.8.8", "10.0.0.1")}).pin(read("http://a.example/")))
    assert isinstance(found, Denied)
    assert "10.0.0.1" in found.reason
    assert "private_hosts" in found.remedy
    assert found.need == "net:a.example:80"


@pytest.mark.parametrize("named", ["nas.lan", "NAS.lan.", "nas.lan:8080", "10.0.0.0/8", "10.0.0.7"])
def test_a_private_host_that_the_operator_named_is_reached(named: str) -> None:
    """By name, by name and port, by address or by network."""
    target = read("http://nas.lan:8080/")
    found = outcome(lambda: egress({"nas.lan": ("10.0.0.7",)}, named).pin(target))
    assert isinstance(found, UrlTarget)
    assert found.addresses == ("10.0.0.7",)


@pytest.mark.parametrize("named", ["other.lan", "nas.lan:80", "192.168.0.0/16", "10.0.0.8", "lan"])
def test_naming_another_host_does_not_help(named: str) -> None:
    """The exception is exact: another host, port or network stays private."""
    found = outcome(lambda: egress({"nas.lan": ("10.0.0.7",)}, named).pin(read("http://nas.lan:8080/")))
    assert isinstance(found, Denied)


def test_a_network_exempts_only_the_addresses_in_it() -> None:
    """A host that leads into the named network and elsewhere inside is refused."""
    found = outcome(lambda: egress({"nas.lan": ("10.0.0.7", "127.0.0.1")}, "10.0.0.0/8").pin(read("http://nas.lan/")))
    assert isinstance(found, Denied)
    assert "127.0.0.1" in found.reason


def test_a_literal_address_is_not_looked_up() -> None:
    """An IP address in a URL is its own answer."""
    names = Names({})
    found = outcome(lambda: Egress(names, lambda _who, _what: True).pin(read("http://[2606:4700::1111]/")))
    assert isinstance(found, UrlTarget)
    assert found.addresses == ("2606:4700::1111",)
    assert names.asked == []


def test_an_unknown_host_and_one_with_too_many_addresses_are_refused() -> None:
    """The resolver's failure is a refusal; so is an answer without end; so is an empty one."""
    unknown = outcome(lambda: egress({}).pin(read("http://a.example/")))
    assert isinstance(unknown, Denied)
    assert "could not be resolved" in unknown.reason
    for count, allowed in ((0, False), (ADDRESSES_MAX, True), (ADDRESSES_MAX + 1, False)):
        many = tuple(f"8.8.8.{number}" for number in range(count))
        found = outcome(lambda many=many: egress({"a.example": many}).pin(read("http://a.example/")))
        assert isinstance(found, UrlTarget) is allowed


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for DNS has a deadline."""
    monkeypatch.setattr("kernel.gate.egress.RESOLVE_DEADLINE_S", 0.01)
    found = outcome(lambda: Egress(Silence(), lambda _who, _what: True).pin(read("http://a.example/")))
    assert isinstance(found, Denied)
    assert "could not be resolved in" in found.reason


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("/next", "a.example"),
        ("next?x=1", "a.example"),
        ("https://b.example/", "b.example"),
        ("//b.example/", "b.example"),
    ],
)
def test_a_redirect_is_resolved_against_where_it_came_from(location: str, host: str) -> None:
    """Relative and absolute locations are read, checked and pinned anew."""
    gate = egress({"a.example": ("8.8.8.8",), "b.example": ("9.9.9.9",)})
    found = outcome(lambda: gate.recheck(location, WHO, read("https://a.example/x/y")))
    assert isinstance(found, UrlTarget)
    assert found.host == host
    assert found.addresses


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://a.example/", "from https to http"),
        ("file:///etc/passwd", "neither http nor https"),
        ("https://u:p@a.example/", "user name"),
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public address"),
        ("https://2852039166/", "not a public address"),
        ("https://inside.example/", "not a public address"),
        ("https://unknown.example/", "could not be resolved"),
    ],
)
def test_a_redirect_may_not_lead_inside_or_down(location: str, says: str) -> None:
    """Each hop meets the same checks as the first, and https stays https."""
    gate = egress({"a.example": ("8.8.8.8",), "inside.example": ("10.1.1.1",)})
    found = outcome(lambda: gate.recheck(location, WHO, read("https://a.example/")))
    assert isinstance(found, Denied)
    assert says in found.reason


def test_a_redirect_to_another_host_needs_its_own_capability() -> None:
    """The first host's capability does not lend itself to where that host points, nor to another port."""
    seen: list[str] = []

    def covers(who: Principal, host: Resource) -> bool:
        assert who == WHO
        seen.append(str(host))
        return False

    gate = egress({"a.example": ("8.8.8.8",), "b.example": ("9.9.9.9",)}, covers=covers)
    first = read("https://a.example/")
    for location in ("https://b.example/", "https://a.example:8443/"):
        found = outcome(lambda location=location: gate.recheck(location, WHO, first))
        assert isinstance(found, Denied)
        assert "may not reach" in found.reason
    assert seen == ["net:b.example:443", "net:a.example:8443"]
    assert isinstance(outcome(lambda: gate.recheck("/next", WHO, first)), UrlTarget)


def test_a_name_that_only_starts_with_digits_is_a_name() -> None:
    """`1.2.3.example` is looked up; only a numeric last label makes an address."""
    assert literal("1.2.3.example") is None
    assert literal("0x7f.1") == "127.0.0.1"
