"""The modules do what their equations say, and their parameters have the names that published weights have."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from avgn_edge._base.errors import BundleError  # noqa: E402
from avgn_edge.architectures.avgn.network.patch_policy import crop  # noqa: E402
from avgn_edge.architectures.backbones.mobilenet_v2 import MobileNetV2  # noqa: E402
from avgn_edge.architectures.backbones.resnet50 import ResNet50  # noqa: E402
from avgn_edge.architectures.weights import load_backbone  # noqa: E402
from avgn_edge.runtime.crop import crop as numpy_crop  # noqa: E402

PUBLISHED = Path(__file__).parents[3] / "shared" / "weights" / "mobilenet_v2_imagenet.safetensors"


def shapes(module):
    return {
        name: tuple(value.shape)
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


# ---- backbones ------------------------------------------------------------------------------------------------------


def test_mobilenet_has_the_names_and_shapes_of_the_published_weights():
    if not PUBLISHED.is_file():
        pytest.skip(f"NOT COMPARED with published weights: {PUBLISHED.name} is not beside this repository")
    from safetensors import safe_open

    with safe_open(PUBLISHED, framework="pt") as file:
        published = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    features = {n: s for n, s in published.items() if n.startswith("features.") and "num_batches" not in n}
    assert shapes(MobileNetV2()) == features
    load_backbone(MobileNetV2(), PUBLISHED)


def test_mobilenet_has_torchvision_s_names_and_size():
    ours = shapes(MobileNetV2())
    for name, shape in {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.0.1.running_mean": (32,),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.1.conv.2.bias": (16,),
        "features.2.conv.0.0.weight": (96, 16, 1, 1),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.17.conv.3.running_var": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "features.18.1.weight": (1280,),
    }.items():
        assert ours[name] == shape
    # torchvision's 3,504,872 less the classifier's 1,281,000
    assert sum(p.numel() for p in MobileNetV2().parameters()) == 2_223_872


def test_resnet_has_torchvision_s_names_and_size():
    net = ResNet50()
    ours = shapes(net)
    stages = {"layer1": (3, 64, 64), "layer2": (4, 256, 128), "layer3": (6, 512, 256), "layer4": (3, 1024, 512)}
    expected = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    for stage, (blocks, inputs, width) in stages.items():
        for block in range(blocks):
            at, first = f"{stage}.{block}", inputs if block == 0 else width * 4
            expected |= {
                f"{at}.conv1.weight": (width, first, 1, 1),
                f"{at}.conv2.weight": (width, width, 3, 3),
                f"{at}.conv3.weight": (width * 4, width, 1, 1),
            }
            norms |= {f"{at}.bn1": width, f"{at}.bn2": width, f"{at}.bn3": width * 4}
        expected[f"{stage}.0.downsample.0.weight"] = (width * 4, inputs, 1, 1)
        norms[f"{stage}.0.downsample.1"] = width * 4
    for norm, channels in norms.items():
        expected |= {f"{norm}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    assert ours == expected
    assert len(list(dict(net.named_parameters()))) == 159  # torchvision's 161 less fc.weight and fc.bias
    assert sum(p.numel() for p in net.parameters()) == 25_557_032 - 2_049_000  # less fc: 23.51 M


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_weights_load_into_a_backbone_without_their_head(suffix, tmp_path):
    source, path = MobileNetV2(width=0.25), tmp_path / f"weights{suffix}"
    state = source.state_dict() | {"classifier.1.weight": torch.zeros(1000, 8), "classifier.1.bias": torch.zeros(1000)}
    write(state, path)
    target = MobileNetV2(width=0.25)
    load_backbone(target, path)
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=False)
    )


def write(state, path):
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)


@pytest.mark.parametrize("change", ["missing", "shape", "extra", "garbage", "absent", "list"])
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change, tmp_path):
    target, path = MobileNetV2(width=0.25), tmp_path / "weights.pth"
    state = {name: value + 1 for name, value in target.state_dict().items()}
    if change == "missing":
        del state["features.3.conv.1.0.weight"]
    elif change == "shape":
        state["features.0.0.weight"] = torch.zeros(8, 1, 3, 3)
    elif change == "extra":
        state["features.99.weight"] = torch.zeros(1)
    if change == "garbage":
        path.write_bytes(b"\x80\x02garbage")
    elif change != "absent":
        write([1, 2] if change == "list" else state, path)
    before = copy.deepcopy(target.state_dict())
    with pytest.raises(BundleError, match=r"cannot load weights .*weights\.pth"):
        load_backbone(target, path)
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


def test_a_resnet_s_file_is_refused_by_a_mobilenet(tmp_path):
    write({"layer1.0.conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path / "r.pth")
    with pytest.raises(BundleError, match="do not fit MobileNetV2"):
        load_backbone(MobileNetV2(width=0.25), tmp_path / "r.pth")


# ---- π ------------------------------------------------------------------------------------------------------------


def test_the_policy_never_leaves_the_frame(tiny_model):
    policy, settings = tiny_model.policy, tiny_model.settings
    for scale in (0.0, 1.0, 1e2, 1e4, 1e30):
        state = torch.randn(64, settings.policy_hidden) * scale
        embedded = torch.randn(64, settings.policy_hidden) * scale
        with torch.no_grad():
            corner, following = policy.step(embedded, state)
        assert corner.min() >= 0
        assert corner.max() <= settings.travel == settings.frame_size - settings.patch_size
        assert following.isfinite().all()
    frame = np.zeros((224, 224, 3), dtype=np.uint8)
    for edge in (0.0, float(np.float32(settings.travel))):
        numpy_crop(frame, (edge, edge), settings.patch_size)


def test_the_policy_remembers(tiny_model):
    embedded = torch.randn(1, tiny_model.settings.policy_hidden)
    with torch.no_grad():
        first, state = tiny_model.policy.step(embedded, torch.zeros_like(embedded))
        second, _ = tiny_model.policy.step(embedded, state)
    assert (first - second).abs().max() > 0.1


# ---- f_C ------------------------------------------------------------------------------------------------------------


def test_the_running_maximum_step_by_step_is_the_classifier_of_every_prefix(tiny_model):
    head = tiny_model.classifier
    features = torch.randn(3, 16, head.mlp[0].in_features)
    with torch.no_grad():
        whole = head.prefixes(head.embed(features))
        state = torch.zeros(3, head.dim)
        for moment in range(16):
            logits, state = head.step(features[:, moment], state, torch.full((3,), moment + 1))
            torch.testing.assert_close(logits, whole[:, moment], atol=1e-5, rtol=1e-5)
    assert whole.std(dim=1).min() > 1e-3


def test_the_answer_after_a_set_of_moments_does_not_depend_on_their_order(tiny_model):
    head = tiny_model.classifier
    features = torch.randn(1, 16, head.mlp[0].in_features)
    with torch.no_grad():
        hidden = head.embed(features)
        shuffled = hidden[:, torch.randperm(16)]
        torch.testing.assert_close(head.prefixes(hidden)[:, -1], head.prefixes(shuffled)[:, -1])
        assert not torch.allclose(head.prefixes(hidden)[:, 3], head.prefixes(shuffled)[:, 3])
        torch.testing.assert_close(head.single(hidden)[:, 0], head.prefixes(hidden)[:, 0])


def test_the_maximum_s_neutral_state_is_zero(tiny_model):
    features = torch.randn(50, tiny_model.classifier.mlp[0].in_features) * 10
    with torch.no_grad():
        assert tiny_model.classifier.embed(features).min() >= 0


# ---- the crop -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["random", "integer", "border"])
def test_the_crop_of_training_is_the_crop_of_the_runtime(kind):
    rng = np.random.default_rng(5)
    frames = rng.integers(0, 256, (12, 40, 50, 3), dtype=np.uint8)
    size, last = 24, np.array([26, 16])
    corners = {
        "random": rng.uniform(0, last, (12, 2)),
        "integer": rng.integers(0, last + 1, (12, 2)).astype(float),
        "border": rng.integers(0, 2, (12, 2)) * last * 1.0,
    }[kind].astype(np.float32)
    ours = crop(torch.from_numpy(frames), torch.from_numpy(corners), size).numpy()
    theirs = np.stack([numpy_crop(f, (float(x), float(y)), size) for f, (x, y) in zip(frames, corners, strict=True)])
    assert np.abs(ours - theirs).max() / 255 <= 1e-5


def test_the_gradient_of_the_crop_is_the_finite_difference():
    torch.manual_seed(0)
    frames = torch.rand(4, 30, 34, 3, dtype=torch.float64)
    corner = torch.tensor([[3.3, 4.6], [0.2, 0.7], [9.5, 5.5], [13.4, 9.9]], dtype=torch.float64, requires_grad=True)
    weight = torch.rand(4, 20, 20, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda c: crop(frames, c, 20) * weight, (corner,))


def test_the_crop_has_a_gradient_at_whole_numbers_and_at_the_borders():
    frames = torch.rand(3, 30, 34, 3)
    corner = torch.tensor([[0.0, 0.0], [14.0, 10.0], [5.0, 3.0]], requires_grad=True)
    crop(frames, corner, 20).pow(2).sum().backward()
    assert (corner.grad.abs() > 0).all()
    assert frames.grad is None


# ---- AESPA, silence -------------------------------------------------------------------------------------------------


def test_the_audio_stream_of_aespa_s_last_layer_does_not_exist(tiny_model):
    aespa = tiny_model.aespa
    assert len(aespa.audio_layers) == len(aespa.visual_layers) - 1 == tiny_model.settings.aespa_layers - 1
    maps = torch.randn(2, tiny_model.global_encoder.channels, 7, 7)
    aespa = copy.deepcopy(aespa)
    out = aespa(maps, torch.randn(2, 16, tiny_model.audio_encoder.channels))
    assert out.shape == (2, tiny_model.settings.aespa_dim, 7, 7)
    out.sum().backward()
    unused = [name for name, value in aespa.named_parameters() if value.grad is None]
    assert unused == []  # nothing is computed for nothing


def test_sound_changes_where_to_look(tiny_model):
    maps = torch.randn(1, tiny_model.global_encoder.channels, 7, 7)
    with torch.no_grad():
        a, b = (tiny_model.aespa(maps, torch.randn(1, 16, tiny_model.audio_encoder.channels)) for _ in range(2))
    assert (a - b).abs().max() > 1e-3


def test_the_no_audio_token_stands_where_nothing_was_heard(tiny_model):
    audio = torch.randn(2, 16, tiny_model.audio_encoder.channels)
    audio[0, 3] = torch.nan  # what stands there must not matter, not even as a number
    heard = torch.rand(2, 16) < 0.5
    heard[0, 3] = False
    with torch.no_grad():
        known = tiny_model.with_silence(audio, heard)
    assert torch.equal(known[heard], audio[heard])
    assert (known[~heard] == tiny_model.no_audio).all()
