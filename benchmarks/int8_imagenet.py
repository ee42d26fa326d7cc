"""Does INT8 keep f_G's answers? A MobileNetV2 with ImageNet's weights and classifier, on photographs, against FP32.

    python -m benchmarks.int8_imagenet WEIGHTS PHOTOS [--graphs DIR]

WEIGHTS is a file with torchvision's parameter names, PHOTOS a folder of pictures. The network is exported as every f_G
is, its classifier in place of FC^G, and quantised as `avgn-edge calibrate` does it. Each half of the photographs is
judged in INT8 whose ranges and sensitive nodes came from the other half: none is judged by what was fitted on it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from PIL import Image

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import preset
from avgn_edge.architectures.avgn.split import GRAPH_SPECS
from avgn_edge.architectures.weights import load_backbone
from avgn_edge.calibration.quantise import Quantiser
from avgn_edge.calibration.sensitivity import find_sensitive
from avgn_edge.engines import probe
from avgn_edge.engines.onnxruntime import QUANTISES_FLOATS
from avgn_edge.export.onnx_graphs import export_graph
from avgn_edge.media.frames import FrameGeometry

RANGES = 128
"""Photographs that ranges come from; others of the same half find the sensitive nodes."""
GEOMETRY = FrameGeometry()


def main() -> None:
    """Export, quantise, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--graphs", type=Path, help="keep the graphs here")
    asked = parser.parse_args()
    photos = sorted(path for path in asked.photos.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    frames = np.stack([pixels(path) for path in photos])
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.graphs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        graph = folder / "global_encoder.onnx"
        export_graph(next(spec for spec in GRAPH_SPECS if spec.name == "global_encoder"), network(asked.weights), graph)
        expected = answers(graph.read_bytes(), frames)
        agreed = np.zeros(len(frames), dtype=np.bool_)
        for half in (0, 1):
            quantised = in_int8(graph, frames[1 - half :: 2], half)
            (folder / f"global_encoder.int8.{half}.onnx").write_bytes(quantised)
            agreed[half::2] = answers(quantised, frames[half::2]) == expected[half::2]
    print(f"INT8 agrees with FP32's top-1 on {agreed.mean():.2%} of {len(agreed)} photographs", end=" ")
    print(f"({agreed[0::2].mean():.2%} and {agreed[1::2].mean():.2%} of the halves)")


def network(weights: Path) -> AVGN:
    """f_G with published weights, and their classifier as FC^G."""
    from safetensors.torch import load_file  # noqa: PLC0415

    state = load_file(weights)
    classes = len(state["classifier.1.bias"])
    model = AVGN(preset("small", tuple(str(index) for index in range(classes)))).eval()
    load_backbone(model.global_encoder.backbone, weights)
    with torch.no_grad():
        model.fc_g.weight.copy_(state["classifier.1.weight"])
        model.fc_g.bias.copy_(state["classifier.1.bias"])
    return model


def pixels(path: Path) -> NDArray[np.uint8]:
    """A photograph as f_G sees a frame: uint8 [224, 224, 3], RGB."""
    side, offset, crop = GEOMETRY.resize, GEOMETRY.offset, GEOMETRY.crop
    with Image.open(path) as image:
        squeezed = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(squeezed.crop((offset, offset, offset + crop, offset + crop)), dtype=np.uint8)


def in_int8(graph: Path, frames: NDArray[np.uint8], half: int) -> bytes:
    """Quantise with the ranges of some frames, the sensitive nodes of others kept in float."""
    samples = [{"frames": frame[np.newaxis]} for frame in frames]
    quantiser = Quantiser(graph, samples[:RANGES])
    found = find_sensitive(quantiser, samples[RANGES:])
    quantised = quantiser.quantise("u8s8", found.keep_float)
    size = len(quantised) / graph.stat().st_size
    print(
        f"ranges of half {1 - half}: error {found.error:.3f} -> {found.error_left:.3f}, {size:.1%} of the size,",
        end=" ",
    )
    print(f"in float: {', '.join(found.keep_float) or 'nothing'}")
    return quantised


def answers(graph: bytes, frames: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The best class of each frame."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if probe.saturates():
        options.add_session_config_entry(*probe.EXACT)
    session = ort.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=[QUANTISES_FLOATS]
    )
    return np.array([int(session.run(["logits"], {"frames": frame[np.newaxis]})[0].argmax()) for frame in frames])


if __name__ == "__main__":
    main()
