"""Which device: reads `--device` and `--precision`, opens the engine, and says what was chosen and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal, cast

from avgn_edge._base.arguments import shown
from avgn_edge._base.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avgn_edge.engines.base import Engine


VALID_DEVICES = "auto, cpu, cuda[:N], tensorrt[:N], openvino[:CPU|GPU|NPU|AUTO]"
MAX_THREADS = 1024
"""Engines start as many as they are told to: a slip of the finger must not take the machine's memory."""
VALID_PRECISIONS = ("auto", "fp32", "fp16", "int8")

_DEVICE = re.compile(r"(auto|cpu|(cuda|tensorrt)(:[0-9]{1,3})?|openvino(:(cpu|gpu|npu|auto))?)", re.IGNORECASE)
# Best first. CUDA gains nothing from INT8 convolutions; a CPU gains nothing from FP16.
_PREFERRED = {"cuda": ("fp16", "fp32", "int8")}
_PREFERRED_ELSEWHERE = ("int8", "fp32", "fp16")


@dataclass(frozen=True)
class Device:
    """A parsed `--device`."""

    kind: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
    index: int = 0
    """Which GPU, of CUDA and TensorRT."""
    target: str = "CPU"
    """OpenVINO's own name of a device."""

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read "auto", "cpu", "cuda", "cuda:1", "tensorrt", "openvino:GPU" …, in any case."""
        if not isinstance(text, str) or not _DEVICE.fullmatch(text):
            raise DeviceError(f"device {str(text)[:40]!r}", "unknown", f"choose one of {VALID_DEVICES}")
        kind, _, detail = text.lower().partition(":")
        kind = cast("Literal['auto', 'cpu', 'cuda', 'tensorrt', 'openvino']", kind)
        if kind == "openvino":
            return cls(kind, target=detail.upper() or "CPU")
        return cls(kind, index=int(detail or 0))

    def __str__(self) -> str:
        if self.kind == "openvino":
            return f"openvino:{self.target}"
        return f"{self.kind}:{self.index}" if self.kind in {"cuda", "tensorrt"} else self.kind


def open_engine(device: str = "auto", *, threads: int | None = None) -> Engine:
    """Open the engine of a device.

    Args:
        device: As `--device` has it. "auto" is CUDA if it really runs a graph, else ONNX Runtime's CPU, or OpenVINO's.
        threads: CPU threads; None for the cores that this process may use.

    Raises:
        DeviceError: The device that was asked for cannot be used, and why; no other one is used instead.

    """
    wanted = Device.parse(device)
    if threads is not None and not (
        isinstance(threads, Integral) and not isinstance(threads, bool) and 1 <= threads <= MAX_THREADS
    ):
        why = f"1 to {MAX_THREADS} can be asked for"
        raise DeviceError(f"{shown(threads)} threads", why, "leave --threads out for all usable cores")
    if wanted.kind == "auto":
        return _open_automatic(threads)
    engine = _open(wanted, threads, asked=device)
    if wanted.kind in {"cuda", "tensorrt"} or wanted.target in {"GPU", "NPU"}:
        _check(engine)  # that the provider exists does not mean that it works
    return engine


def choose_precision(asked: str, available: Sequence[str], device: str) -> str:
    """Return the precision to use.

    Args:
        asked: As `--precision` has it. "auto" is fp16 on CUDA and int8 elsewhere, or else the next best in the bundle,
            of which `precision_note` tells.
        available: Those that the bundle holds.
        device: What is really used: "cpu", "cuda:0", …

    Raises:
        DeviceError: The bundle does not hold the one that was asked for.

    """
    if not isinstance(asked, str) or asked.lower() not in VALID_PRECISIONS:
        raise DeviceError(f"precision {shown(asked)}", "unknown", f"choose one of {', '.join(VALID_PRECISIONS)}")
    asked = asked.lower()
    preferred = _preferred(device) if asked == "auto" else (asked,)
    for precision in preferred:
        if precision in available:
            return precision
    held = ", ".join(available) or "none"
    raise DeviceError(f"precision {asked}", f"the bundle holds {held}", "choose one of those, or export it with more")


def precision_note(asked: str, chosen: str, device: str) -> str | None:
    """Say why "auto" chose another precision than the best for the device; None where it did not."""
    best = _preferred(device)[0]
    if asked.lower() != "auto" or chosen == best:
        return None
    return f"the bundle holds no {best}, the best precision for {device}: {chosen} is used"


def _preferred(device: str) -> tuple[str, ...]:
    return _PREFERRED.get(device.partition(":")[0].lower(), _PREFERRED_ELSEWHERE)


def _open(wanted: Device, threads: int | None, asked: str, notes: tuple[str, ...] = ()) -> Engine:
    if wanted.kind == "openvino":
        from avgn_edge.engines.openvino import OvEngine  # noqa: PLC0415  (engines load when chosen)

        return OvEngine(wanted.target, threads=threads, asked=asked, notes=notes)
    from avgn_edge.engines.onnxruntime import OrtEngine  # noqa: PLC0415

    return OrtEngine(wanted.kind, wanted.index, threads=threads, asked=asked, notes=notes)


def _check(engine: Engine) -> None:
    from avgn_edge.engines import probe  # noqa: PLC0415  (numpy: 0.07 s)

    probe.check(engine)


def _open_automatic(threads: int | None) -> Engine:
    notes: tuple[str, ...] = ()
    for candidate in (Device("cuda"), Device("cpu"), Device("openvino")):
        outcome = _attempt(candidate, threads, notes)
        if not isinstance(outcome, DeviceError):
            return outcome
        notes = (*notes, f"{candidate} not used: {outcome.why}")
    raise DeviceError("device auto", "no inference engine is installed", "pip install 'avgn-edge[cpu]'")


def _attempt(candidate: Device, threads: int | None, notes: tuple[str, ...]) -> Engine | DeviceError:
    try:
        engine = _open(candidate, threads, asked="auto", notes=notes)
        if candidate.kind == "cuda":
            _check(engine)
    except DeviceError as error:
        return error
    return engine
