"""What a device can do, found out by trying: a graph of a few hundred bytes, and whether INT8 sums saturate."""

from __future__ import annotations

import platform
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avgn_edge._base.errors import DeviceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.engines.base import Engine


CPUINFO = Path("/proc/cpuinfo")
EXACT = ("session.x64quantprecision", "1")
"""The setting of an ONNX Runtime session that computes them exactly; where nothing saturates it is the slower way."""
_FIRST_CORE = 16_384
"""Bytes that hold what the first core can do; the file has as much for every other."""
_VNNI = re.compile(rb"\bavx(512)?_vnni\b")


def saturates() -> bool:
    """Return whether weights of more than seven bits may come out wrong; True for an x86 CPU that cannot be asked."""
    if platform.machine().lower() not in {"x86_64", "amd64", "i686", "x86"}:
        return False
    try:
        with CPUINFO.open("rb") as file:
            return _VNNI.search(file.read(_FIRST_CORE)) is None
    except OSError:  # not Linux
        return True


IMAGE = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) % 5
KERNEL = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3) % 4 - 1
MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3) - 2


def graph() -> bytes:
    """Return the ONNX file: image [1, 1, 4, 4] → Conv with KERNEL → MatMul with MATRIX → answer [1, 1, 2, 3]."""
    nodes = [_node("Conv", ["image", "kernel"], "map"), _node("MatMul", ["map", "matrix"], "answer")]
    contents = [_message(1, node) for node in nodes]
    contents += [_text(2, "probe")]
    contents += [_message(5, _tensor("kernel", KERNEL)), _message(5, _tensor("matrix", MATRIX))]
    contents += [_message(11, _value("image", IMAGE.shape)), _message(12, _value("answer", (1, 1, 2, 3)))]
    ir_version, opset = _number(1, 10), _message(8, _text(1, "") + _number(2, 20))
    return ir_version + _message(7, b"".join(contents)) + opset


def expected() -> NDArray[np.float32]:
    """Return what the graph answers to IMAGE: float32 [1, 1, 2, 3]."""
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE[0, 0], (3, 3))
    convolved = np.einsum("ijkl,kl->ij", windows, KERNEL[0, 0])
    answer: NDArray[np.float32] = (convolved @ MATRIX)[None, None]
    return answer


def check(engine: Engine) -> None:
    """Run the graph on the engine's device; `DeviceError` when it cannot, or answers wrongly."""
    with tempfile.TemporaryDirectory(prefix="avgn-edge-") as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(graph())
        answer = engine.open(path).run({"image": IMAGE})["answer"]
    if answer.shape != expected().shape or not np.allclose(answer, expected(), atol=1e-3):
        raise DeviceError(engine.device, "it computes wrong results", "update its driver, or choose another --device")


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    return b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    shape = b"".join(_number(1, size) for size in values.shape)
    return shape + _number(2, 1) + _text(8, name) + _message(9, values.astype("<f4").tobytes())  # type 1 is float


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_message(1, _number(1, size)) for size in shape)
    return _text(1, name) + _message(2, _message(1, _number(1, 1) + _message(2, sizes)))
