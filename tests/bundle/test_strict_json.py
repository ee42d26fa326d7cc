"""Annotations say what is read: types, limits and rules, and the path of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.strict_json import (
    MAY_BE_MISSING,
    FieldError,
    JsonValue,
    Keys,
    Length,
    OneOf,
    Within,
    decode,
    encode,
    one_line,
    parse,
)


@dataclass(frozen=True)
class Point:
    name: Annotated[str, Length(1, 10), one_line]
    share: Annotated[float, Within(0.0, 1.0)]
    sizes: Annotated[tuple[int | Annotated[str, OneOf(("n", "m"))], ...], Length(1, 3)] | None
    kind: Literal["a", "b"] = "a"
    more: Annotated[Mapping[str, float], Keys(("x", "y")), MAY_BE_MISSING] = field(default_factory=dict)

    def validate(self) -> None:
        if self.name == self.kind:
            raise FieldError("as its kind", ".name")


@dataclass(frozen=True)
class Pair:
    first: Point
    second: Annotated[Point | None, MAY_BE_MISSING] = None


GOOD = {"name": "p", "share": 0.5, "sizes": [1, "n"], "kind": "b", "more": {"y": 2}}


def test_what_is_read_is_written_again():
    point = decode(Point, GOOD, "point")
    assert point == Point("p", 0.5, (1, "n"), "b", {"y": 2.0})
    assert encode(point) == GOOD
    pair = decode(Pair, {"first": GOOD}, "pair")
    assert (pair.first, pair.second) == (point, None)
    assert decode(Pair, encode(pair), "pair") == pair


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": 3}, "point.name: a string is needed, this is 3:"),
        ({"name": ""}, "point.name: 0 characters, where 1 to 10 are allowed:"),
        ({"name": " p"}, "point.name: ' p' holds unprintable characters or blanks at an end:"),
        ({"name": "b"}, "point.name: as its kind:"),
        ({"share": True}, "point.share: a number is needed, this is True:"),
        ({"share": float("nan")}, "point.share: nan is outside 0.0 to 1.0:"),
        ({"share": 2}, "point.share: 2 is outside 0.0 to 1.0:"),
        ({"sizes": []}, "point.sizes: 0 elements, where 1 to 3 are allowed:"),
        ({"sizes": [1, True]}, "point.sizes[1]: an integer is needed, this is True:"),
        ({"sizes": [1, 2, "o"]}, "point.sizes[2]: 'o' is not one of n, m:"),
        ({"sizes": {}}, "point.sizes: a list is needed, this is an object:"),
        ({"kind": "c"}, "point.kind: 'c' is not one of a, b:"),
        ({"kind": ["a"]}, "point.kind: a list is not one of a, b:"),
        ({"more": {"x": None}}, "point.more.x: a number is needed, this is None:"),
        ({"more": {"z": 1}}, "point.more.'z': unknown field:"),
        ({"a\nb": 1}, r"point.'a\nb': unknown field:"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(change, told):
    with pytest.raises(BundleError) as caught:
        decode(Point, {**GOOD, **change}, "point")
    assert str(caught.value).startswith(f"manifest.json: {told}")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({**GOOD, "sizes": ["x"]}, "pair.second.sizes[0]: 'x' is not one of n, m:"),
        ({"name": "p"}, "pair.second.share: missing:"),
        (3, "pair.second: an object is needed, this is 3:"),
    ],
    ids=str,
)
def test_a_path_leads_through_objects(second, told):
    with pytest.raises(BundleError) as caught:
        decode(Pair, {"first": GOOD, "second": second}, "pair")
    assert str(caught.value).startswith(f"manifest.json: {told}")


def test_another_field_in_place_of_one_that_may_be_missing_is_unknown():
    for document in ({"first": GOOD, "hooks": 1}, {"first": GOOD, "second": None, "hooks": 1}):
        with pytest.raises(BundleError, match="hooks': unknown field"):
            decode(Pair, document, "pair")


def test_a_dataclass_with_slots_or_an_init_of_its_own_is_made_by_it():
    @dataclass(frozen=True, slots=True)
    class Slotted:
        size: int

    @dataclass
    class Doubled:
        size: int

        def __post_init__(self) -> None:
            self.size *= 2

    Slotted.__annotations__ = Doubled.__annotations__ = {"size": int}
    for kind, size in ((Slotted, 3), (Doubled, 6)):
        assert decode(kind, {"size": 3}, "here").size == size


def test_any_json_is_taken_where_it_is_said():
    assert decode(Mapping[str, JsonValue], {"a": [None, {"b": 1}]}, "here") == {"a": [None, {"b": 1}]}


def test_an_annotation_that_cannot_be_read_is_a_mistake_of_the_program():
    with pytest.raises(TypeError):
        decode(set[int], [], "here")


def test_long_numbers_are_refused_unless_they_are_text_or_fractions():
    with pytest.raises(BundleError, match="more than 64 bits"):
        parse(b'{"a": 123456789012345678901}')
    digits = "1" * 30
    assert parse(f'["{digits}", 0.{digits}, 12]'.encode()) == [digits, float(f"0.{digits}"), 12]
