"""Strict reading of untrusted JSON into frozen dataclasses, as the annotations of their fields say.

    @dataclass(frozen=True)
    class Point:
        name: Annotated[str, Length(1, 100), one_line]
        share: Annotated[float, Within(0.0, 1.0)]
        sizes: Annotated[tuple[int, ...], Length(1, 8)] | None

`decode(Point, value, "point")` returns a Point, or raises a BundleError: "manifest.json: point.sizes[2]: an integer is
needed, this is '3'". An annotation is `int`, `float`, `str`, a `Literal` of strings, a dataclass, `tuple[X, ...]`,
`Mapping[str, X]`, `JsonValue`, or a union of such that differ in their JSON type. `Annotated` narrows it by `Within`,
`Length`, `OneOf`, `Matches`, `Keys`, and by rules: functions that say why a value is refused, or None. All fields must
be there and no others, but for those annotated with `MAY_BE_MISSING`, which have a default. A dataclass that compares
its fields with one another has a method `validate`, which raises `FieldError`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from avgn_edge._base.errors import BundleError

Annotation: TypeAlias = Any
"""Such as may stand beside a dataclass's field."""
JsonValue: TypeAlias = Any
Read: TypeAlias = Callable[[Any], Any]
"""Returns what it makes of a JSON value, or raises `FieldError`."""
Metadata: TypeAlias = Mapping[type, Any]
"""What `Annotated` says besides the type, each by its own type."""

MAX_INTEGER = 2**63 - 1
MAX_DIGITS = 20
MAX_SHOWN = 60
"""Characters of a bad value that an error repeats."""
MAY_BE_MISSING = "may be missing"
"""Metadata of a field that older files lack; the dataclass's default stands in for it."""
_DIGITS_TO_ZERO = bytes(ord("0") if chr(code) in "0123456789" else code for code in range(256))


class Within(NamedTuple):
    """Metadata of a number: its limits, both included."""

    low: float
    high: float


class Length(NamedTuple):
    """Metadata of a string, a list or an object: how many characters, elements or fields it may have."""

    low: int
    high: int


class OneOf(NamedTuple):
    """Metadata of a string: what it may be."""

    allowed: tuple[str, ...]

    def __call__(self, value: object) -> str | None:
        """Say why a value is refused."""
        if isinstance(value, str) and value in self.allowed:
            return None
        return f"{shown(value)} is not one of {', '.join(self.allowed)}"


class Matches(NamedTuple):
    """Metadata of a string: a pattern of the whole string, and what is said of a value that does not match."""

    pattern: re.Pattern[str]
    otherwise: str

    def __call__(self, value: object) -> str | None:
        """Say why a value is refused."""
        return None if isinstance(value, str) and self.pattern.fullmatch(value) else f"{shown(value)} {self.otherwise}"


class Keys(NamedTuple):
    """Metadata of an object: its fields' names. Where all are `needed` they come out in this order."""

    names: tuple[str, ...]
    needed: bool = False


class FieldError(Exception):
    """Why a value is refused, and the path to it inside the value that is read, as in ".sizes[2]"."""

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why)
        self.why, self.path = why, path


def refuse(path: str, why: str) -> NoReturn:
    """Raise the error for the field at `path`."""
    raise BundleError(f"manifest.json: {path}", why, "export the bundle again with this version of avgn-edge")


def parse(data: bytes) -> object:
    """Parse JSON as the standard has it: no NaN, no repeated keys, no bottomless nesting; BundleError otherwise."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise FieldError("a field is given twice in one object")
        return result

    def short(digits: str) -> int:
        if len(digits) > MAX_DIGITS:  # converting millions of digits takes minutes on older Pythons
            raise FieldError("an integer of more than 64 bits")
        return int(digits)

    def constant(name: str) -> NoReturn:
        raise FieldError(f"{name} is not JSON")

    # A call for each integer takes a quarter of the time, and few files have so many digits in a row.
    long = b"0" * (MAX_DIGITS + 1) in data.translate(_DIGITS_TO_ZERO)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_int=short if long else None,
            parse_constant=constant,
        )
    except FieldError as error:
        refuse("the file", error.why)
    except RecursionError:
        refuse("the file", "nested too deeply")
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        refuse("the file", f"not JSON ({error})")


def decode(kind: Annotation, value: object, path: str) -> Any:  # noqa: ANN401 - of whatever kind
    """Read parsed JSON as an annotation says.

    Args:
        kind: The annotation; of a dataclass, the class.
        value: What `parse` returned, or a part of it.
        path: What errors call the value.

    Returns:
        An object of that kind.

    Raises:
        BundleError: The value is not exactly of that kind; the error names the part that is not.

    """
    try:
        return _reader(kind)(value)
    except FieldError as error:
        refuse(path + error.path, error.why)


@cache
def field_types(kind: Annotation) -> dict[str, Any]:
    """Return the annotation of each of a dataclass's fields."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    if any(isinstance(one, str) for one in types.values()):  # where annotations are not evaluated: 0.2 ms a class
        hints = get_type_hints(kind, include_extras=True)
        return {name: hints[name] for name in types}
    return types


def check_fields(kind: type, value: object, path: str) -> dict[str, Any]:
    """Return the object `value`, its values not yet read, if its fields are a dataclass's; BundleError otherwise."""
    try:
        return _object(value, *_field_names(kind))
    except FieldError as error:
        refuse(path + error.path, error.why)


def encode(value: object) -> JsonValue:
    """Return the JSON form of a value that `decode` returned; a dataclass's fields come in their order."""
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def shown(value: object) -> str:
    """Return a short, one-line, printable form of a value that may be hostile."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):  # the digits of a huge one cannot even be printed
        return str(value) if abs(value) <= MAX_INTEGER else "an integer of more than 64 bits"
    if isinstance(value, str):
        return ascii(value[:MAX_SHOWN]) + ("…" if len(value) > MAX_SHOWN else "")
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def one_line(text: str) -> str | None:
    """Rule: printable characters, no line breaks, no blanks at the ends."""
    if text.isprintable() and text == text.strip():
        return None
    return f"{shown(text)} holds unprintable characters or blanks at an end"


# ---- readers, each made once for its annotation ----------------------------------------------------------------------


def _split(kind: Annotation) -> tuple[Annotation, tuple[Any, ...]]:
    """Return a type and the metadata that `Annotated` gives it."""
    return (kind.__origin__, kind.__metadata__) if hasattr(kind, "__metadata__") else (kind, ())


@cache
def _reader(kind: Annotation) -> Read:
    """Return the reader of an annotation: of its type, and then its rules."""
    base, metadata = _split(kind)
    make = _MAKERS.get(get_origin(base) or base, _dataclass_reader)
    read = make(base, {type(one): one for one in metadata})
    rules = [one for one in metadata if callable(one)]

    def ruled(value: object) -> object:
        result = read(value)
        for rule in rules:
            if (why := rule(result)) is not None:
                raise FieldError(why)
        return result

    return ruled if rules else read


def _as_it_is(_kind: Annotation, _metadata: Metadata) -> Read:
    return lambda value: value


def _number_reader(kind: Annotation, metadata: Metadata) -> Read:
    most = math.inf if kind is int else sys.float_info.max
    low, high = metadata.get(Within, (-most, most))
    needed, types = ("an integer", (int,)) if kind is int else ("a number", (float, int))

    def number(value: JsonValue) -> JsonValue:
        if type(value) is kind and low <= value <= high:  # neither a bool nor NaN
            return value
        if type(value) not in types:
            raise FieldError(f"{needed} is needed, this is {shown(value)}")
        if not low <= value <= high:
            raise FieldError(f"{shown(value)} is outside {low} to {high}")
        return float(value)

    return number


def _string_reader(_kind: Annotation, metadata: Metadata) -> Read:
    low, high = metadata.get(Length, (0, sys.maxsize))

    def text(value: object) -> str:
        if not isinstance(value, str):
            raise FieldError(f"a string is needed, this is {shown(value)}")
        if not low <= len(value) <= high:
            raise FieldError(f"{len(value)} characters, where {low} to {high} are allowed")
        return value

    return (lambda value: value) if metadata.keys() & {OneOf, Matches} else text  # these refuse what is no string too


def _literal_reader(kind: Annotation, _metadata: Metadata) -> Read:
    return _reader(Annotated[str, OneOf(get_args(kind))])


def _list_reader(kind: Annotation, metadata: Metadata) -> Read:
    read = _reader(get_args(kind)[0])
    low, high = metadata.get(Length, (0, sys.maxsize))

    def items(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise FieldError(f"a list is needed, this is {shown(value)}")
        if not low <= len(value) <= high:
            raise FieldError(f"{len(value)} elements, where {low} to {high} are allowed")
        done: list[object] = []
        try:
            done.extend(map(read, value))
        except FieldError as error:
            error.path = f"[{len(done)}]{error.path}"
            raise
        return tuple(done)

    return items


def _mapping_reader(kind: Annotation, metadata: Metadata) -> Read:
    read_key, read = map(_reader, get_args(kind))
    _, most = metadata.get(Length, (0, sys.maxsize))
    names, all_needed = metadata.get(Keys, (None, False))
    needed = names if all_needed else ()

    def items(value: object) -> dict[str, object]:
        by_name = _object(value, needed, names)
        if len(by_name) > most:
            raise FieldError(f"{len(by_name)} fields, where at most {most} are allowed")
        done = {}
        for name in needed or by_name:
            path = f".{shown(name)}"
            try:
                key = read_key(name)
                path = f".{key}"
                done[key] = read(by_name[name])
            except FieldError as error:
                error.path = path + error.path
                raise
        return done

    return items


def _union_reader(kind: Annotation, _metadata: Metadata) -> Read:
    """Return what reads by the member that has the value's type in JSON; the first one refuses all other values."""
    by_type: dict[type, Read] = {}
    for member in get_args(kind):
        base, _ = _split(member)
        for name in _JSON_TYPES.get(get_origin(base) or base, (dict,)):
            by_type.setdefault(name, _reader(member))
    other = next(read for name, read in by_type.items() if name is not NoneType)
    return lambda value: by_type.get(type(value), other)(value)


def _dataclass_reader(kind: Annotation, _metadata: Metadata) -> Read:
    readers = [(name, _reader(annotation)) for name, annotation in field_types(kind).items()]
    needed, known = _field_names(kind)
    validate = getattr(kind, "validate", None)

    bare = not hasattr(kind, "__post_init__") and not hasattr(kind, "__slots__")

    def fields(value: JsonValue) -> object:
        complete = type(value) is dict and len(value) == len(readers)
        if not complete:
            _object(value, needed, known)
        done = {}
        try:
            for name, read in readers:
                if complete or name in value:
                    done[name] = read(value[name])
        except FieldError as error:
            error.path = f".{name}{error.path}"
            raise
        except KeyError:
            _object(value, needed, known)  # as many fields, but not these: it says which
        if complete and bare:  # a frozen dataclass's __init__ makes a call for each field: an eighth of the time
            result = object.__new__(kind)
            result.__dict__.update(done)
        else:
            result = kind(**done)
        if validate is not None:
            validate(result)
        return result

    return fields


@cache
def _field_names(kind: Annotation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a dataclass's fields that must be there, and of all."""
    kinds = field_types(kind)
    return tuple(name for name in kinds if MAY_BE_MISSING not in _split(kinds[name])[1]), tuple(kinds)


def _object(value: object, needed: tuple[str, ...], known: tuple[str, ...] | None) -> dict[str, Any]:
    """Return `value` if it is an object with all `needed` fields and none but the `known` (None: any)."""
    if not isinstance(value, dict):
        raise FieldError(f"an object is needed, this is {shown(value)}")
    for name in needed:
        if name not in value:
            raise FieldError("missing", f".{name}")
    if known is not None and len(value) != len(needed):  # a manifest has thousands of objects with just those
        for name in value:
            if name not in known:
                raise FieldError("unknown field", f".{shown(name)}")
    return value


_MAKERS: dict[Any, Callable[[Any, Metadata], Read]] = {
    int: _number_reader,
    float: _number_reader,
    str: _string_reader,
    Literal: _literal_reader,
    tuple: _list_reader,
    Mapping: _mapping_reader,
    Union: _union_reader,
    UnionType: _union_reader,
    JsonValue: _as_it_is,
    NoneType: _as_it_is,
}
_JSON_TYPES: dict[Any, tuple[type, ...]] = {
    NoneType: (NoneType,),
    str: (str,),
    int: (int,),
    float: (float, int),
    tuple: (list,),
}
