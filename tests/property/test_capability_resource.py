"""`⊆` and `∩` of resources against plain enumeration of what each pattern contains."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.capability.resource import KINDS, Kind, Resource
from kernel.errors import Invalid

NAMES = ("a", "b")
# A name that no pattern uses stands for all the others, and targets longer than any pattern for all the longer ones.
TARGETS = [names for length in range(6) for names in product((*NAMES, "other"), repeat=length)]
FILES = [Resource.target("file", "/" + "/".join(names)) for names in TARGETS]
NETS = [
    Resource.target("net", ".".join(reversed(names)), port) for names in TARGETS[1:200] for port in ("80", "443", "9")
]

segments = st.lists(st.sampled_from((*NAMES, "*")), max_size=3)


def _file(names: list[str], rest: list[str]) -> Resource:
    return Resource.parse("file:/" + "/".join([*names, *rest]))


def _net(star: list[str], names: list[str], port: str) -> Resource:
    return Resource.parse(f"net:{'.'.join([*star, *names])}:{port}")


files = st.builds(_file, segments, st.sampled_from((list[str](), ["**"])))
nets = st.builds(
    _net,
    st.sampled_from((list[str](), ["*"])),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.sampled_from(("80", "443", "*")),
)


def members(resource: Resource, universe: list[Resource]) -> set[int]:
    return {number for number, target in enumerate(universe) if target.within(resource)}


@given(files, files)
def test_within_is_exactly_subset(one: Resource, other: Resource) -> None:
    """`a ⊆ b` holds exactly where every target of a is one of b."""
    assert one.within(other) == (members(one, FILES) <= members(other, FILES))


@given(nets, nets)
def test_within_is_exactly_subset_for_hosts(one: Resource, other: Resource) -> None:
    """For hosts and ports too."""
    assert one.within(other) == (members(one, NETS) <= members(other, NETS))


@given(files, files)
def test_meet_is_exactly_the_intersection(one: Resource, other: Resource) -> None:
    """`a ∩ b` holds the targets of both, and is None exactly where there are none."""
    met = one.meet(other)
    shared = members(one, FILES) & members(other, FILES)
    assert (members(met, FILES) if met else set()) == shared
    assert met == other.meet(one) or met is None


@given(nets, nets)
def test_meet_is_exactly_the_intersection_for_hosts(one: Resource, other: Resource) -> None:
    """For hosts and ports too."""
    met = one.meet(other)
    assert (members(met, NETS) if met else set()) == members(one, NETS) & members(other, NETS)


@given(st.one_of(files, nets))
def test_text_reads_back(resource: Resource) -> None:
    """A pattern's text parses to the same pattern, so the journal keeps exactly what was granted."""
    assert Resource.parse(str(resource)) == resource


@given(st.sampled_from(sorted(KINDS - {"net", "file"})), st.lists(st.text("ab*", max_size=3), min_size=1, max_size=3))
def test_a_name_smuggles_no_wildcard_in(kind: Kind, names: list[str]) -> None:
    """A concrete target whose name reads `*` is below patterns that contain it and equals no other name."""
    target = Resource.target(kind, "/".join(names))
    assert target.within(Resource(kind, ("**",)))
    assert not Resource.target(kind, "something/else/entirely").within(target)


def test_a_literal_star_contains_nothing_else() -> None:
    """A capability on a file called `*` would not be one on all files beside it."""
    star = Resource.target("file", "/w/*")
    assert not Resource.target("file", "/w/a").within(star)
    assert not Resource.parse("file:/w/*").within(star)
    assert star.within(Resource.parse("file:/w/*"))


def test_a_pattern_without_wildcards_equals_its_target() -> None:
    """A pattern that names one thing is within that thing, and the reverse."""
    target, pattern = Resource.target("file", "/w/a"), Resource.parse("file:/w/a")
    assert target.within(pattern)
    assert pattern.within(target)


@pytest.mark.parametrize(
    "text",
    """|file|file:|file:w/a|file:/w/../a|file:/w/a*|file:/**/a|disk:/a|net:host|net:host:0|net:host:65536|
    net:host:²|net:host:٣|net:a.*.org:443|net:*x.org:443|exec:|exec:a//b|model:a*""".replace("\n    ", "").split("|"),
)
def test_what_is_no_resource_is_refused_with_a_remedy(text: str) -> None:
    """Every malformed pattern raises Invalid and says what to write."""
    with pytest.raises(Invalid) as caught:
        Resource.parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["file:/" + "a" * 4091, "file:/" + "a/" * 129])
def test_a_resource_is_bounded(text: str) -> None:
    """One character or one segment more than the bound is refused; the bound itself is not."""
    with pytest.raises(Invalid):
        Resource.parse(text)
    Resource.parse(text[:-1] if len(text) > 4000 else text[:-2])
