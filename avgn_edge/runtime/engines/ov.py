"""OpenVINO: Intel CPU, GPU and NPU, ARM CPU, and AUTO."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from avgn_edge.errors import BundleError, DeviceError
from avgn_edge.runtime.engines import probe
from avgn_edge.runtime.engines.engine import DeviceReport
from avgn_edge.runtime.engines.threads import usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray
    from openvino import CompiledModel


class OvSession:
    """One graph compiled by OpenVINO, with an infer request a thread."""

    def __init__(self, compiled: CompiledModel, inputs: list[str], outputs: list[str], device: str) -> None:
        self._compiled = compiled
        self._device = device
        self._inputs, self._outputs = inputs, outputs
        self._requests = threading.local()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph."""
        if set(inputs) != set(self._inputs):  # for one left out a request would take what its last run was given
            why = f"a graph failed to run (inputs {sorted(inputs)}, needed {sorted(self._inputs)})"
            raise DeviceError(self._device, why, "report this as a fault of avgn-edge")
        try:
            if not hasattr(self._requests, "mine"):
                self._requests.mine = self._compiled.create_infer_request()
            results = self._requests.mine.infer(dict(inputs))  # copies out: a request reuses its output memory
            return {name: results[index] for index, name in enumerate(self._outputs)}
        except (RuntimeError, TypeError, ValueError) as error:
            raise DeviceError(self._device, f"a graph failed to run ({error})", "run avgn-edge doctor") from error


class OvEngine:
    """OpenVINO on one target: "CPU", "GPU", "NPU" or "AUTO"."""

    def __init__(
        self, target: str = "CPU", *, threads: int | None = None, asked: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        openvino = _load()
        self._core: Any = openvino.Core()
        self._threads = threads or usable_cores()
        if target == "AUTO":
            target = self._chosen_by_auto()
        self._target = target
        used = f"openvino:{target}"
        present = tuple(self._core.available_devices)
        if not any(_kind(name) == target for name in present):
            here = f"only {', '.join(present)}" if present else "there is none here"
            advice = f"choose --device openvino:{present[0].split('.')[0]}" if present else "choose another --device"
            raise DeviceError(used, f"OpenVINO finds no {target}; {here}", advice)
        if target in {"GPU", "NPU"}:
            notes = (*notes, f"OpenVINO computes in FP16 on the {target}, fp32 graphs included")
        self._report = DeviceReport(asked or used, used, "openvino", version(), notes)

    @property
    def device(self) -> str:
        """What is really used."""
        return self._report.used

    @property
    def report(self) -> DeviceReport:
        """What was asked for, what is used, and why."""
        return self._report

    def open(self, path: Path) -> OvSession:
        """Open an ONNX file."""
        try:
            model = self._core.read_model(str(path))
            # Taken before compiling, which may fold an output into an inner tensor and answer by that one's name.
            inputs = [value.get_any_name() for value in model.inputs]
            outputs = [output.get_any_name() for output in model.outputs]
        except RuntimeError as error:
            raise BundleError(str(path), f"OpenVINO cannot open it ({error})", "export it again") from error
        advice = "update its driver, or choose another --device"
        try:
            compiled = self._core.compile_model(model, self._target, self._config())
            used = compiled.get_property("EXECUTION_DEVICES")
        except RuntimeError as error:
            raise DeviceError(self.device, f"it cannot compile {path.name} ({error})", advice) from error
        used = [used] if isinstance(used, str) else list(used)
        if not all(_kind(name) == self._target for name in used):
            raise DeviceError(self.device, f"OpenVINO fell back to {', '.join(used)}", advice)
        return OvSession(compiled, inputs, outputs, self.device)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self._target == "CPU":
            config["INFERENCE_NUM_THREADS"] = self._threads
            # A CPU with bf16 would use it unasked: 0.8 % off, where fp32 is 5e-7 off.
            config["INFERENCE_PRECISION_HINT"] = "f32"
        return config

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


def version() -> str:
    """Return OpenVINO's version; `DeviceError` when it is not installed."""
    return str(_load().__version__).split("-", maxsplit=1)[0]


def _kind(name: str) -> str:
    """Return "GPU" of "GPU", "GPU.1" and "(GPU)"."""
    return name.strip("()").split(".")[0]


def _load() -> ModuleType:
    try:
        import openvino  # noqa: PLC0415  (0.2 s, and the other engine may be the one installed)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "openvino"
        why = "it is not installed" if missing else f"it cannot be imported ({error})"
        raise DeviceError("openvino", why, "pip install 'avgn-edge[openvino]'") from error
    return openvino  # type: ignore[no-any-return]
