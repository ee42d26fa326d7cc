"""Looks into an ONNX file, without onnx, for anything that would make an engine read another file.

An ONNX tensor may keep its numbers in another file, named by a path, and a graph may hold a context made by some other
compiler, also by path. Our exports are always one file, so every such reference is refused, wherever it points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FIELDS = 5_000_000
"""More fields than this is no network of ours; it bounds the time a hostile file takes."""
MAX_DEPTH = 100
MAX_FIELD_NUMBER = 2**29 - 1

# The part of onnx.proto that leads to tensors: message → field number → message of that field.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Tensor": {},
}
_FIRST_KEY = b"\x08"  # of Model: ir_version, which every writer puts first; no other format of OpenVINO's starts so
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of Tensor
_OPERATOR = 4  # of Node: op_type
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types


def check_self_contained(data: bytes | memoryview, name: str) -> None:
    """Raise `BundleError` unless the ONNX model in `data` is well-formed and refers to no other file."""
    view = bytes(data)  # no copy of bytes, whose numbers are read faster than a memoryview's
    if view[:1] != _FIRST_KEY:
        raise _unfit(name, "it is not an ONNX file")
    todo = [("Model", 0, len(view), 0)]
    seen = 0
    while todo:
        message, start, end, depth = todo.pop()
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
