"""Looks into an ONNX file, without onnx, for anything that would make an engine read another file.

An ONNX tensor may keep its numbers in another file, named by a path, and a graph may hold a context made by some other
compiler, also by path. Our exports are always one file, so every such reference is refused, wherever it points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avgn_edge._base.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_FIELDS = 5_000_000
"""More fields than this is no network of ours; it bounds the time a hostile file takes."""
MAX_DEPTH = 100
MAX_FIELD_NUMBER = 2**29 - 1

# The part of onnx.proto that leads to tensors: message → field number → message of that field.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor", 11: "Input", 12: "Output"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Tensor": {},
    "Input": {},
    "Output": {},
}
_FIRST_KEY = b"\x08"  # of Model: ir_version, which every writer puts first; no other format of OpenVINO's starts so
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of Tensor
_OPERATOR = 4  # of Node: op_type
_OF_MODEL = 2  # the depth of what the model's own graph holds
_DTYPES = {  # of TensorProto.DataType
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


@dataclass(frozen=True)
class Tensor:
    """An input or an output as an ONNX file has it."""

    name: str
    dtype: str
    """NumPy's name of it; "" for what is no tensor of numbers."""
    shape: tuple[int | None, ...] | None
    """None is a size that varies, or that the file does not tell."""


@dataclass(frozen=True)
class Signature:
    """What goes into the graph of an ONNX file and what comes out of it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def check_self_contained(data: bytes | memoryview, name: str) -> Signature:
    """Return what goes in and out of the ONNX model in `data`.

    Raise `BundleError` unless it is well-formed and refers to no other file.
    """
    view = bytes(data)  # no copy of bytes, whose numbers are read faster than a memoryview's
    if view[:1] != _FIRST_KEY:
        raise _unfit(name, "it is not an ONNX file")
    todo = [("Model", 0, len(view), 0)]
    seen = 0
    ends: dict[str, list[Tensor]] = {"Input": [], "Output": []}
    while todo:
        message, start, end, depth = todo.pop()
        if message in ends:
            if depth == _OF_MODEL:  # not of a graph inside an operator
                ends[message].append(_tensor(view, start, end, name))
            continue
        for number, wire, low, high in _message_fields(view, start, end, name):
            seen += 1
            if seen > MAX_FIELDS or depth > MAX_DEPTH:
                raise _unfit(name, "it is too large or too deeply nested to be checked")
            if message == "Tensor" and number in {_EXTERNAL_DATA, _DATA_LOCATION}:
                _check_tensor_field(number, view[low:high], name)
            elif message == "Node" and number == _OPERATOR and view[low:high] == b"EPContext":
                raise _unfit(name, "it holds a precompiled context, which may name another file")
            child = _CHILDREN[message].get(number)
            if child is not None and wire == _BYTES:
                todo.append((child, low, high, depth + 1))
    return Signature(*(tuple(reversed(ends[message])) for message in ("Input", "Output")))


def _tensor(view: bytes, start: int, end: int, name: str) -> Tensor:
    """Read a ValueInfo: its name, and of its type the tensor's element type and shape."""
    known = dict(_parts(view, start, end, name))  # field number → where its value lies; of one given twice the last
    text = view[slice(*known.get(1, (0, 0)))].decode("utf-8", "replace")
    kind = dict(_parts(view, *dict(_parts(view, *known.get(2, (0, 0)), name)).get(1, (0, 0)), name))
    dtype = _DTYPES.get(_number(view, kind.get(1), name) or 0, "")
    if 2 not in kind:
        return Tensor(text, dtype, None)
    dims = [dict(_parts(view, *place, name)) for number, place in _parts(view, *kind[2], name) if number == 1]
    return Tensor(text, dtype, tuple(_number(view, dim.get(1), name) for dim in dims))


def _parts(view: bytes, start: int, end: int, name: str) -> Iterator[tuple[int, tuple[int, int]]]:
    for number, _, low, high in _message_fields(view, start, end, name):
        yield number, (low, high)


def _number(view: bytes, place: tuple[int, int] | None, name: str) -> int | None:
    return None if place is None else _varint(view, *place, name)[0]


def _check_tensor_field(number: int, value: bytes, name: str) -> None:
    if number == _EXTERNAL_DATA or any(byte & 0x7F for byte in value):
        raise _unfit(name, "its weights lie in another file")


def _message_fields(view: bytes, start: int, end: int, name: str) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start of the value, end of the value) of one message."""
    at = start
    while at < end:
        # One byte, as nearly all are, is read here: a function call for each would be half of the time.
        key, at = (view[at], at + 1) if view[at] < 0x80 else _varint(view, at, end, name)
        number, wire = key >> 3, key & 7
        if not 0 < number <= MAX_FIELD_NUMBER:  # a parser with 32 bits would take another field for this one
            raise _unfit(name, "it is not an ONNX file")
        low = at
        if wire == _VARINT:
            _, at = _varint(view, at, end, name)
        elif wire == _BYTES:
            length, low = (view[at], at + 1) if at < end and view[at] < 0x80 else _varint(view, at, end, name)
            at = low + length
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _unfit(name, "it is not an ONNX file")
        if at > end:
            raise _unfit(name, "it is cut short")
        yield number, wire, low, at


def _varint(view: bytes, at: int, end: int, name: str) -> tuple[int, int]:
    """Return a varint's value and the position after it."""
    value = 0
    for count in range(10):  # 64 bits
        if at >= end:
            raise _unfit(name, "it is cut short")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at
    raise _unfit(name, "it is not an ONNX file")


def _unfit(name: str, why: str) -> BundleError:
    return BundleError(name, why, "export the bundle again")
