"""TensorRT's settings in ONNX Runtime: the sizes to build for, and where the engines are kept.

Building the engine of a graph takes seconds to minutes; `avgn-edge doctor --prepare tensorrt` does it beforehand.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgn_edge._base.user_cache import writable_cache

if TYPE_CHECKING:
    from types import ModuleType


LEAST, USUAL, MOST = 1, 4, 16
"""Items a run: one look, some glances, all the moments of a clip. Engines are tuned for the middle one."""

_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "nvinfer_10.dll")
_DESCRIPTIONS = ("driver/nvidia/gpus/*/information", "driver/nvidia/version", "device-tree/model")


def options(ort: ModuleType, path: Path, index: int, precision: str) -> dict[str, Any]:
    """Return the provider's options for a graph: INT8 by its QuantizeLinear nodes, without a calibration table."""
    content = path.read_bytes()
    quantised = b"DequantizeLinear" in content
    chosen: dict[str, Any] = {
        "device_id": index,
        "trt_int8_enable": quantised,
        # What INT8 leaves in float is FP16 then; a graph in half needs it; an fp32 one stays FP32.
        "trt_fp16_enable": quantised or precision == "fp16",
        **_profile(_sizes(ort, path)),
    }
    # A new version, GPU or driver gets a folder, and a new graph or option one inside it: nothing old is ever read.
    machine = _key(ort.__version__, *_tensorrt_and_gpus())
    graph = _key(content, *(f"{name}={value}" for name, value in sorted(chosen.items())))
    cache = writable_cache("tensorrt", machine, graph)
    if cache is not None:  # a read-only home costs minutes at each start, but works
        chosen["trt_engine_cache_enable"] = chosen["trt_timing_cache_enable"] = True
        chosen["trt_engine_cache_path"] = str(cache)
        chosen["trt_timing_cache_path"] = str(cache.parent)
    return chosen


def _profile(sizes: dict[str, list[int | str]]) -> dict[str, str]:
    """Return the optimisation profile: without one, TensorRT builds again for each new size that it sees."""
    dynamic = {name: shape for name, shape in sizes.items() if not all(isinstance(size, int) for size in shape)}
    if not dynamic:
        return {}

    def shapes(items: int) -> str:
        given = {name: [size if isinstance(size, int) else items for size in shape] for name, shape in dynamic.items()}
        return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in given.items())

    return {f"trt_profile_{name}_shapes": shapes(n) for name, n in (("min", LEAST), ("opt", USUAL), ("max", MOST))}


def _sizes(ort: ModuleType, path: Path) -> dict[str, list[int | str]]:
    """Return the shapes of a graph's inputs as the file has them, with a name for a size that may vary."""
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # only read, never run
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    reader = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    return {value.name: list(value.shape) for value in reader.get_inputs()}


def _tensorrt_and_gpus() -> tuple[str, ...]:
    """Return TensorRT's own version, which ONNX Runtime does not compare, and the GPUs and driver, where they tell."""
    told = [str(_tensorrt_version())]
    for pattern in _DESCRIPTIONS:
        for file in sorted(Path("/proc").glob(pattern)):
            lines = file.read_bytes().decode(errors="replace").splitlines()
            told += [line for line in lines if not line.startswith(("IRQ", "Bus Location", "Device Minor"))]
    return tuple(told)


def _tensorrt_version() -> int | None:
    for name in _LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            return int(ctypes.CDLL(name).getInferLibVersion())
    return None


def _key(*parts: str | bytes) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
    return content.hexdigest()[:32]
