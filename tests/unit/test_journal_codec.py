"""Canonical JSON: RFC 8785, on the fast path and on the exact one."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from kernel.errors import Invalid
from kernel.journal import codec
from kernel.jsontypes import JsonObject, JsonValue

# Source: RFC 8785, appendix B (IEEE 754 bits and what they print as).
NUMBERS = [
    (0.0, "0"),
    (-0.0, "0"),
    (5e-324, "5e-324"),
    (-5e-324, "-5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"),
    (295147905179352830000.0, "295147905179352830000"),
    (9.999999999999997e22, "9.999999999999997e+22"),
    (1e23, "1e+23"),
    (1.0000000000000001e23, "1.0000000000000001e+23"),
    (999999999999999700000.0, "999999999999999700000"),
    (999999999999999900000.0, "999999999999999900000"),
    (1e21, "1e+21"),
    (9.999999999999997e-7, "9.999999999999997e-7"),
    (0.000001, "0.000001"),
    (333333333.3333332, "333333333.3333332"),
    (333333333.33333325, "333333333.33333325"),
    (-0.0000033333333333333333, "-0.0000033333333333333333"),
    (1424953923781206.2, "1424953923781206.2"),
    (100.0, "100"),
    (1.5, "1.5"),
]


@pytest.mark.parametrize(("number", "text"), NUMBERS, ids=[text for _, text in NUMBERS])
def test_a_float_looks_as_ecmascript_prints_it(number: float, text: str) -> None:
    """Every sample of the RFC's appendix is encoded as it says."""
    assert codec.canonical({"n": number}) == f'{{"n":{text}}}'.encode()


def test_keys_sort_by_utf16_units() -> None:
    """The RFC's own example of key order, where code points would sort otherwise."""
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert [*json.loads(codec.canonical(value))] == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_the_rfcs_example_object() -> None:
    """Section 3.2.3 of the RFC: numbers, escapes and literals in one object."""
    value: JsonObject = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert codec.canonical(value) == expected.encode()


def test_what_mapping_it_came_in_makes_no_difference() -> None:
    """Tuples and read-only mappings encode as lists and dicts do."""
    plain = {"b": [1, {"c": 2}], "a": "x"}
    assert codec.canonical(MappingProxyType({"a": "x", "b": (1, MappingProxyType({"c": 2}))})) == codec.canonical(plain)


def test_the_largest_exact_integer_passes_and_the_next_is_refused() -> None:
    """2^53 - 1 is recorded; 2^53, which other readers may round, is refused with a remedy."""
    assert codec.canonical({"n": codec.INTEGER_MAX}) == b'{"n":9007199254740991}'
    assert codec.canonical({"n": -codec.INTEGER_MAX}) == b'{"n":-9007199254740991}'
    with pytest.raises(Invalid, match="beyond") as refused:
        codec.canonical({"n": codec.INTEGER_MAX + 1})
    assert "text" in refused.value.remedy


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"n": float("nan")}, "no JSON number"),
        ({"n": float("inf")}, "no JSON number"),
        ({"s": "\ud800"}, "surrogate"),
        ({"\udc00": 1}, "surrogate"),
        ({1: "x", "n": 0.5}, "no text"),
        ({"b": b"bytes"}, "no JSON value"),
        ({"o": object()}, "no JSON value"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_is_refused(value: JsonObject, why: str) -> None:
    """Each kind of value that JSON cannot carry is refused and named."""
    with pytest.raises(Invalid, match=why):
        codec.canonical(value)


def test_a_cycle_is_refused() -> None:
    """A structure that contains itself ends in an error, not in a crash."""
    value: dict[str, JsonValue] = {}
    value["self"] = value
    with pytest.raises(Invalid, match="nested too deeply"):
        codec.canonical(value)


def test_a_header_is_canonical_json_of_its_fields() -> None:
    """The hand-made header equals the canonical encoding of the same object, blobs and escapes included."""
    digest, blobs = bytes(range(32)), bytes(64)
    made = codec.header_bytes((7, 1_795_000_000_000_000, 'user:"a"', "kernel", "x\u20ac.y", digest, blobs))
    assert made == codec.canonical(
        {
            "seq": 7,
            "time_us": 1_795_000_000_000_000,
            "principal": 'user:"a"',
            "stream": "kernel",
            "kind": "x\u20ac.y",
            "digest": digest.hex(),
            "blobs": ["00" * 32, "00" * 32],
        }
    )
    assert b"blobs" not in codec.header_bytes((1, 2, "p", "s", "k", digest, None))
