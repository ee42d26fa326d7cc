"""Published backbone weights, by parameter name."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from avgn_edge._base.errors import BundleError

_HEADS = ("classifier.", "fc.", "_fc.")


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Load a torchvision state dict (.safetensors, or .pth read with weights_only) into `backbone`.

    The file's classification head is left out. BundleError if names or shapes do not fit.
    """
    what = f"cannot load weights {path}"
    try:
        state = {name: value for name, value in _read(path).items() if not name.startswith(_HEADS)}
    except Exception as error:
        raise BundleError(what, f"it cannot be read ({type(error).__name__})", "give torchvision's file") from error
    expected = backbone.state_dict()
    wrong = sorted(name for name in state if name not in expected or expected[name].shape != state[name].shape)
    missing = sorted(name for name in expected if name not in state and not name.endswith("num_batches_tracked"))
    if wrong or missing:
        why = f"parameters do not fit {type(backbone).__name__}, for example {(wrong + missing)[0]}"
        raise BundleError(what, why, "give the file of the same architecture, with torchvision's parameter names")
    backbone.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state
