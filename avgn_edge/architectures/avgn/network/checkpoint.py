"""Checkpoints: weights, settings and labels in one safe file (safetensors, or torch's zip read with weights_only)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from avgn_edge._base.atomic import atomic_write
from avgn_edge._base.errors import BundleError
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import Settings

FORMAT = "avgn-edge checkpoint 1"
_MAKE_ONE = "give a checkpoint that `avgn-edge train` or avgn_edge.architectures.avgn.network.checkpoint.save wrote"


def save(model: AVGN, path: Path) -> None:
    """Write the model as safetensors, settings and labels in its metadata; the file appears whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_write(path, alone=True) as partial:
        save_file(state, partial, metadata={"format": FORMAT, "settings": model.settings.to_json()})


def load(path: Path) -> AVGN:
    """Read a checkpoint; the model comes in evaluation mode. BundleError for anything that is not one."""
    what = f"cannot read checkpoint {path}"
    if not path.is_file():
        raise BundleError(what, "there is no such file", _MAKE_ONE)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        metadata, state = _read_torch(path) if zipped else _read_safetensors(path)
    except Exception as error:  # a damaged pickle raises what it likes: IndexError, struct.error, AttributeError …
        raise BundleError(what, _first_line(error), _MAKE_ONE) from error
    if metadata.get("format") != FORMAT:
        raise BundleError(what, "it does not carry the settings and labels of a glance network", _MAKE_ONE)
    try:
        settings = Settings.from_json(metadata["settings"])
        _check_shapes(settings, state)
        model = AVGN(settings)
        model.load_state_dict(state)
    except Exception as error:
        raise BundleError(what, f"weights and settings do not fit: {_first_line(error)}", _MAKE_ONE) from error
    return model.eval()


def _check_shapes(settings: Settings, state: dict[str, Tensor]) -> None:
    """Compare shapes before memory is taken for them: settings may ask for any amount."""
    with torch.device("meta"):
        wanted = AVGN(settings).state_dict()
    wrong = [name for name, value in wanted.items() if name not in state or state[name].shape != value.shape]
    if wrong:
        raise ValueError(f"{wrong[0]} is not what the settings ask for")


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"it is not safetensors ({error})") from error


def _read_torch(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not {"format", "settings", "state_dict"} <= set(content):
        raise ValueError("it lacks `format`, `settings` or `state_dict`")
    return {"format": str(content["format"]), "settings": str(content["settings"])}, content["state_dict"]


def _first_line(error: Exception) -> str:
    # PyTorch puts a heading first, which ends in a colon, and what is wrong in the lines below it.
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.rstrip().endswith(":")]
    return (lines or [type(error).__name__])[0][:200]
