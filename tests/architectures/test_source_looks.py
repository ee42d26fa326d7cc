"""Looks with more of the source's own pixels than the glance has: the network, its bundle, and the runtime on it."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import av  # noqa: E402
from network_makers import tiny_settings  # noqa: E402

from avgn_edge import Recognizer  # noqa: E402
from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.encoders import GlobalEncoder  # noqa: E402
from avgn_edge.architectures.avgn.network.inference import classify  # noqa: E402
from avgn_edge.architectures.avgn.network.patch_policy import crop as torch_crop  # noqa: E402
from avgn_edge.architectures.avgn.network.settings import Settings  # noqa: E402
from avgn_edge.architectures.avgn.split import trained  # noqa: E402
from avgn_edge.export.onnx_graphs import installed_engines  # noqa: E402
from avgn_edge.export.to_bundle import export_bundle  # noqa: E402
from avgn_edge.media.frames import FrameGeometry  # noqa: E402
from avgn_edge.media.logmel import log_mel  # noqa: E402
from avgn_edge.media.moments import GLANCE_ORDER  # noqa: E402
from avgn_edge.media.opening import open_clip  # noqa: E402
from avgn_edge.runtime.crop import crop  # noqa: E402

SOURCE = {"frame_size": 448, "glance_shrink": 2, "glances": 4, "looks": 3}
WIDTH, HEIGHT = 640, 512


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of noise that a look alone can tell from grey: its pixels are means of zero over two by two."""
    path = tmp_path_factory.mktemp("clip") / "a.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(16):
            small = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24").reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AVGN(tiny_settings(**SOURCE)).eval()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "bundle"
    export_bundle(trained(model), folder, name="source", confidence=None)
    return folder


def test_a_glance_sees_the_mean_of_the_pixels_and_a_patch_covers_less(model):
    settings = model.settings
    assert (settings.look_from, settings.grid, settings.travel, settings.resize) == ("source", 7, 320, 512)
    torch.manual_seed(1)
    frames = torch.randint(0, 256, (2, 448, 448, 3), dtype=torch.uint8)
    means = frames.float().unflatten(1, (224, 2)).unflatten(3, (224, 2)).mean(dim=(2, 4))
    glances = GlobalEncoder(tiny_settings()).eval()
    glances.load_state_dict(model.global_encoder.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model.global_encoder(frames), glances(means), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"frame_size": 300}, "multiple of 32"),
        ({"frame_size": 224, "glance_shrink": 2}, "multiple of 32"),
        ({"frame_size": 224, "patch_size": 224}, "smaller than a frame"),
    ],
)
def test_sides_that_do_not_fit_are_refused(changes, why):
    with pytest.raises(ValueError, match=why):
        tiny_settings(**changes)


def test_settings_of_before_look_at_the_glance():
    old = json.loads(tiny_settings().to_json())
    del old["glance_shrink"]
    assert Settings.from_json(json.dumps(old)).look_from == "glance"


@pytest.mark.parametrize("corner", [(0.0, 0.0), (320.0, 320.0), (17.25, 200.75)])
def test_both_crops_cut_the_same_from_a_larger_frame(corner):
    frame = np.random.default_rng(2).integers(0, 256, (448, 448, 3), dtype=np.uint8)
    expected = torch_crop(torch.from_numpy(frame)[None], torch.tensor([corner]), 128)[0].numpy()
    np.testing.assert_allclose(crop(frame, corner, 128), expected, atol=1e-3)


def test_the_runtime_agrees_with_pytorch_and_boxes_are_of_the_source_frame(model, bundle, clip):
    with open_clip(clip, geometry=FrameGeometry(512, 448)) as opened:
        frames, (windows, heard) = np.stack(opened.frames(range(16))), opened.windows()
    inputs = (torch.from_numpy(one) for one in (frames, log_mel(windows), heard))
    saliency, looks = classify(model, *inputs, GLANCE_ORDER[:4], 3)
    for device in installed_engines():
        with Recognizer.open(bundle, device, "fp32", threads=1) as recognizer:
            assert recognizer.manifest.settings.look_from == "source"
            result = recognizer.classify(clip, sampling="centre")
        np.testing.assert_allclose(result.probabilities, looks[-1].probabilities, atol=1e-3)
        np.testing.assert_allclose([one.saliency for one in result.moments], saliency, atol=1e-3)
        seen = sorted((one for one in result.moments if one.rank is not None), key=lambda one: one.rank)
        assert [one.index for one in seen] == [look.moment for look in looks]
        for one, look in zip(seen, looks, strict=True):
            x, y = look.top_left
            expected = ((x + 32) * WIDTH / 512, (y + 32) * HEIGHT / 512, 128 * WIDTH / 512, 128 * HEIGHT / 512)
            np.testing.assert_allclose(one.box, expected, atol=0.1)
        shown = result.overlay(clip)
        assert [one.patch.shape[:2] for one in shown] == [(128, 160)] * 3


def test_streams_and_reports_take_it(bundle, clip, tmp_path):
    from avgn_edge.report.index import classify_and_report
    from avgn_edge.runtime.options import Options

    rng = np.random.default_rng(3)
    with Recognizer.open(bundle, "cpu", "fp32", threads=1) as recognizer:
        stream = recognizer.stream(every_s=0.5)
        updates = []
        for at in range(12):
            updates += stream.push_frame(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), at * 0.5)
        updates += stream.finish()
        boxes = [moment.box for moment in updates[-1].moments if moment.box is not None]
        assert boxes
        assert {(round(box[2]), round(box[3])) for box in boxes} == {(160, 128)}
        classify_and_report(recognizer, str(clip), tmp_path, Options())
    assert list(tmp_path.glob("*.html"))


def test_a_bundle_says_where_it_looks_only_where_that_is_new(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["look_from"] == "source"
    assert (manifest["preprocessing"]["resize"], manifest["preprocessing"]["frame_size"]) == (512, 448)
