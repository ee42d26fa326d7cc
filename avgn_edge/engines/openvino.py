"""OpenVINO: Intel CPU, GPU and NPU, ARM CPU, and AUTO."""

from __future__ import annotations

import locale
import sys
import threading
from collections import OrderedDict
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge._base.processes import usable_cores
from avgn_edge._base.user_cache import trim, writable_cache
from avgn_edge.engines import probe
from avgn_edge.engines.base import DeviceReport, Int8Variant, import_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray
    from openvino import CompiledModel, InferRequest, Model

Shapes = tuple[tuple[int, ...], ...]

MOST_SIZES = 4
"""Compiled at a time: each has the weights again, and memory for its intermediate results (f_G of 16: 118 MB)."""
MOST_CACHE_BYTES = 512 * 2**20
"""Of compiled graphs, each as large as its weights: some fifty of MobileNetV2, with those of bundles that are gone."""
FAULT = "report this as a fault of avgn-edge"


class OvEngine:
    """OpenVINO on one device.

    Args:
        target: "CPU", "GPU", "NPU" or "AUTO".
        threads: CPU threads; None for the cores that this process may use.
        asked: What the user called the device, for the report.
        notes: What the report says of the choice.

    Raises:
        DeviceError: OpenVINO is not installed, or finds no such device.

    """

    def __init__(
        self, target: str = "CPU", *, threads: int | None = None, asked: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        self.int8_variant: Int8Variant = "u8s8"
        self._core = _core(_load())
        self._threads = threads or usable_cores()
        if target == "AUTO":
            target = self._chosen_by_auto()
        self._target = target
        self.device = f"openvino:{target}"
        present = tuple(self._core.available_devices)
        if not any(_kind(name) == target for name in present):
            here = f"only {', '.join(present)}" if present else "there is none here"
            advice = f"choose --device openvino:{_kind(present[0])}" if present else "choose another --device"
            raise DeviceError(self.device, f"OpenVINO finds no {target}; {here}", advice)
        if target == "NPU":
            notes = (*notes, "OpenVINO computes in FP16 on the NPU, fp32 graphs included")
        self.report = DeviceReport(asked or self.device, self.device, "openvino", version(), notes)

    def open(self, path: Path, precision: str = "fp32") -> OvSession:
        """Open an ONNX file of a precision; BundleError where that fails.

        A graph of a fixed number of items is compiled here, another at its first run with each number. A clip in a new
        process took 1.3 s of processor time so, from OpenVINO's cache, and 2.1 s with all six compiled for one item
        when they were opened; without a cache 2.8 s and 4.1 s.
        """
        try:
            model = self._core.read_model(str(path))
        except RuntimeError as error:
            raise BundleError(str(path), f"OpenVINO cannot open it ({error})", "export it again") from error
        return OvSession(model, lambda sized: self._compile(sized, path.name, precision), self.device)

    def _compile(self, model: Model, name: str, precision: str) -> CompiledModel:
        """Compile a model, from the cache where it is there; `DeviceError` where the device does not take it."""
        advice = "update its driver, or choose another --device"
        config = self._config(precision)
        # OpenVINO hashes the model, weights and sizes included, its own version and the settings: a file that changed
        # is compiled again, and so is one whose cache was cut short. f_L takes 99 ms to compile, 47 ms from the cache.
        # Not LP_TRANSFORMS_MODE: of two machines with one home, the one without VNNI would saturate from the other's.
        cache = writable_cache("openvino-exact" if self._told_to_be_exact(precision) else "openvino")
        try:
            with _KEPT_LOCALE:
                if cache is None:
                    compiled = self._core.compile_model(model, self._target, config)
                else:
                    compiled = self._compile_with_cache(model, config, cache)
            used = compiled.get_property("EXECUTION_DEVICES")
        except RuntimeError as error:
            raise DeviceError(self.device, f"it cannot compile {name} ({error})", advice) from error
        used = [used] if isinstance(used, str) else list(used)
        if not all(_kind(one) == self._target for one in used):
            raise DeviceError(self.device, f"OpenVINO fell back to {', '.join(used)}", advice)
        return compiled

    def _compile_with_cache(self, model: Model, config: dict[str, Any], cache: Path) -> CompiledModel:
        try:
            compiled = self._core.compile_model(model, self._target, {**config, "CACHE_DIR": str(cache)})
            if not compiled.get_property("LOADED_FROM_CACHE"):
                trim(cache, MOST_CACHE_BYTES)
        except RuntimeError:  # such as a full disk; if it was not the cache, this fails again
            return self._core.compile_model(model, self._target, config)
        return compiled

    def _config(self, precision: str) -> dict[str, Any]:
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self._target == "CPU":
            config["INFERENCE_NUM_THREADS"] = self._threads
            # OpenVINO ties its threads to the first cores. With all of them that is harmless, and no faster either
            # (f_L on two: 1.38 ms tied, 1.38 ms free); with fewer, every process would crowd onto the same ones.
            config["ENABLE_CPU_PINNING"] = self._threads >= usable_cores()
            # A CPU with bf16 would use it unasked, in INT8 graphs too: 0.8 % off, where fp32 is 5e-7 off.
            config["INFERENCE_PRECISION_HINT"] = "f32"
            if self._told_to_be_exact(precision):
                # Rounded as the graph says, multiplied in float: f_G is right, in 1.4 times the time of FP32.
                config["LP_TRANSFORMS_MODE"] = "NO"
        elif self._target == "GPU":
            config["INFERENCE_PRECISION_HINT"] = "f32" if precision == "fp32" else "f16"
        return config

    def _told_to_be_exact(self, precision: str) -> bool:
        return self._target == "CPU" and precision == "int8" and probe.saturates()

    def _chosen_by_auto(self) -> str:
        """Return the target AUTO takes for a small graph; every graph then runs there, and the report names it."""
        # Left to itself AUTO starts on the CPU and moves to another device unannounced, graph by graph.
        settings = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_STARTUP_FALLBACK": "NO"}
        try:
            model = self._core.read_model(probe.graph(), b"")
            used = self._core.compile_model(model, "AUTO", settings).get_property("EXECUTION_DEVICES")
        except RuntimeError as error:
            raise DeviceError("openvino:AUTO", f"no device works ({error})", "choose --device cpu") from error
        return _kind(used if isinstance(used, str) else used[0])


class OvSession:
    """One graph, compiled for each size that its inputs have had lately.

    Args:
        model: The graph as it was read.
        compile_model: Compiles a model for the device.
        device: What errors call the device.

    """

    def __init__(self, model: Model, compile_model: Callable[[Model], CompiledModel], device: str) -> None:
        # Taken before compiling, which may fold an output into an inner tensor and answer by that one's name.
        self._inputs = [value.get_any_name() for value in model.inputs]
        self._outputs = [value.get_any_name() for value in model.outputs]
        self._varying = {
            value.get_any_name(): value.get_partial_shape()
            for value in model.inputs
            if value.get_partial_shape().is_dynamic
        }
        self._model, self._compile, self._device = model, compile_model, device
        self._sizes: OrderedDict[Shapes, _CompiledGraph] = OrderedDict()
        self._any_size: _CompiledGraph | None = None
        """The graph compiled with a dynamic size, where OpenVINO takes it only so."""
        self._lock = threading.Lock()
        if not self._varying:  # else the first run tells: f_A is never asked for one item, f_G seldom first
            self._compiled(())

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:  # noqa: ARG002
        """Run the graph; every output is a NumPy array."""
        if set(inputs) != set(self._inputs):  # for one left out a request would take what its last run was given
            raise self._failed(f"inputs {sorted(inputs)}, needed {sorted(self._inputs)}", FAULT)
        for name, shape in self._varying.items():  # reshaping would take another size for a fixed one
            if not shape.compatible(type(shape)(list(inputs[name].shape))):
                raise self._failed(f"{name} is {list(inputs[name].shape)}, needed {shape}", FAULT)
        try:
            return self._compiled(tuple(inputs[name].shape for name in self._varying)).run(inputs, self._outputs)
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, DeviceError):
                raise
            raise self._failed(str(error), "run avgn-edge doctor") from error

    def _compiled(self, shapes: Shapes) -> _CompiledGraph:
        """Return the graph compiled for these shapes of the inputs that vary; the one unused for longest makes room."""
        with self._lock:
            found = self._sizes.get(shapes)
            if found is None:
                found = self._sizes[shapes] = self._compile_for(shapes)
                while len(self._sizes) > MOST_SIZES:
                    self._sizes.popitem(last=False)
            self._sizes.move_to_end(shapes)
            return found

    def _compile_for(self, shapes: Shapes) -> _CompiledGraph:
        if self._any_size is not None:
            return self._any_size
        if not self._varying:
            return _CompiledGraph(self._compile(self._model))
        model = self._model.clone()
        model.reshape(dict(zip(self._varying, map(list, shapes), strict=True)))
        try:
            return _CompiledGraph(self._compile(model))
        except DeviceError as error:
            # OpenVINO 2026.4 fails on some INT8 graphs of fixed size: a sum of two quantised values one of which it has
            # folded ("AddTransformation"). With a dynamic size it takes them, except on an NPU.
            try:
                self._any_size = _CompiledGraph(self._compile(self._model))
            except DeviceError:
                raise error from None
            return self._any_size

    def _failed(self, why: str, what_to_do: str) -> DeviceError:
        return DeviceError(self._device, f"a graph failed to run ({why})", what_to_do)


class _CompiledGraph:
    """A compiled graph, with as many infer requests as runs were ever under way at a time.

    A request is no thread's own: a thread may outlive the graph.
    """

    def __init__(self, compiled: CompiledModel) -> None:
        self._compiled = compiled
        self._idle: list[InferRequest] = []

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: list[str]) -> dict[str, NDArray[Any]]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        results = request.infer(dict(inputs))  # copies out: a request reuses its output memory
        answer = {name: results[index] for index, name in enumerate(outputs)}
        self._idle.append(request)
        return answer


class LocaleKeeper:
    """A context for code that sets the process's locale to "C": the last of the threads in it restores the locale.

    OpenVINO sets it while it compiles, and then restores the one that it found, which is "C" where another thread was
    compiling. Every file that the program opens afterwards without naming an encoding would be read as ASCII.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ""

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = locale.setlocale(locale.LC_ALL)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and locale.setlocale(locale.LC_ALL) == "C":
                locale.setlocale(locale.LC_ALL, self._before)


_KEPT_LOCALE = LocaleKeeper()  # of the process, as the locale is


def version() -> str:
    """Return OpenVINO's version; `DeviceError` when it is not installed."""
    return str(_load().__version__).split("-", maxsplit=1)[0]


def _kind(name: str) -> str:
    """Return "GPU" of "GPU", "GPU.1" and "(GPU)"."""
    return name.strip("()").split(".")[0]


@cache
def _core(openvino: ModuleType) -> Any:  # noqa: ANN401 - OpenVINO's classes have no types
    """Return the process's one Core, which lives as long as it does.

    Its CPU plugin gives the thread that loads it a stack for signals, which goes with the Core, and then sets back the
    one from before. Of two Cores that go in the order in which they came, the second sets back what the first has
    unmapped: the next signal, Ctrl-C for one, ends the process without a word.
    """
    return openvino.Core()


def _load() -> ModuleType:
    with _without_telemetry():
        return import_engine("openvino", "pip install 'avgn-edge[openvino]'")


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Hide the package through which OpenVINO tells Google Analytics that it is imported, a client's id with it.

    OpenVINO has a stub of its own for where the package is missing, and no setting for it.
    """
    package = "openvino_telemetry"
    before = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment] # an import of it fails now
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(package, None)
        else:
            sys.modules[package] = before
