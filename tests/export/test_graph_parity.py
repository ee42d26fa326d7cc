"""Every exported graph is PyTorch's network in every engine, whatever the number of items and the flags."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from network_makers import hearing, made_clip, network_inputs  # noqa: E402

from avgn_edge.architectures.avgn.spec import GRAPHS  # noqa: E402
from avgn_edge.architectures.avgn.split import GRAPH_SPECS  # noqa: E402
from avgn_edge.calibration.comparison import relative_error  # noqa: E402
from avgn_edge.engines.select import open_engine  # noqa: E402
from avgn_edge.export.onnx_graphs import TOLERANCE, example_inputs  # noqa: E402

SPECS = {spec.name: spec for spec in GRAPH_SPECS}


@pytest.fixture(scope="module")
def sessions(tiny_bundle, device):
    engine = open_engine(device)
    return {name: engine.open(tiny_bundle.graph_bytes_path("fp32", name)) for name in GRAPHS}


def torch_answer(spec, model, inputs):
    with torch.no_grad():
        outputs = spec.module(model).eval()(*inputs)
    return [value.numpy() for value in (outputs if isinstance(outputs, tuple) else (outputs,))]


def check(spec, model, session, inputs):
    """Assert parity and return PyTorch's outputs."""
    expected = torch_answer(spec, model, inputs)
    actual = session.run({name: value.numpy() for name, value in zip(spec.inputs, inputs, strict=True)})
    assert set(actual) == set(spec.outputs)
    for name, reference in zip(spec.outputs, expected, strict=True):
        assert actual[name].dtype == np.float32
        assert actual[name].shape == reference.shape
        assert reference.max() - reference.min() > 1e-2, f"{name} is nearly constant: this could not fail"
        assert relative_error(actual[name], reference) <= TOLERANCE, name
    return expected


@pytest.mark.parametrize("items", [1, 2, 5, 16])
@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.batched])
def test_a_batched_graph_agrees_with_pytorch_for_any_number_of_items(name, items, sessions, tiny_model):
    spec = SPECS[name]
    check(spec, tiny_model, sessions[name], example_inputs(spec, tiny_model, items, seed=40 + items))


def test_encoders_agree_with_pytorch_on_real_textures_and_sounds(sessions, tiny_model):
    frames, spectrograms, _ = map(torch.from_numpy, network_inputs(made_clip(70)))
    check(SPECS["global_encoder"], tiny_model, sessions["global_encoder"], (frames,))
    check(SPECS["audio_encoder"], tiny_model, sessions["audio_encoder"], (spectrograms,))
    patches = frames[:, 30:158, 50:178].float() + 0.25
    check(SPECS["local_encoder"], tiny_model, sessions["local_encoder"], (patches.contiguous(),))


def test_an_item_is_answered_the_same_alone_and_among_others(sessions, tiny_model):
    spec = SPECS["global_encoder"]
    (frames,) = example_inputs(spec, tiny_model, 5, seed=3)
    together = sessions["global_encoder"].run({"frames": frames.numpy()})
    alone = sessions["global_encoder"].run({"frames": frames[3:4].numpy()})
    for name, value in alone.items():
        np.testing.assert_allclose(together[name][3:4], value, atol=1e-4 * np.ptp(value))


def real_look(model, moment, heard):
    """What the spatial graph is given at the first look of a made clip."""
    frames, spectrograms, flags = map(torch.from_numpy, network_inputs(made_clip(70, heard)))
    with torch.no_grad():
        feature_map = model.global_encoder(frames[moment : moment + 1])
        audio = model.audio_encoder(spectrograms)
    return feature_map, audio, flags, torch.zeros(1, model.settings.policy_hidden)


FLAGS = ["all", "none", "some"]


@pytest.mark.parametrize("heard", FLAGS)
@pytest.mark.parametrize("glanced", FLAGS)
def test_saliency_agrees_with_pytorch_whatever_was_heard_and_glanced_at(glanced, heard, sessions, tiny_model):
    spec = SPECS["saliency"]
    visual, _, audio, _ = example_inputs(spec, tiny_model, 1, seed=5)
    flags = [torch.from_numpy(hearing(kind, seed)) for seed, kind in enumerate((glanced, heard))]
    inputs = (visual, flags[0], audio, flags[1])
    expected = check(spec, tiny_model, sessions["saliency"], inputs)
    # Rows that do not count are not looked at, even where they hold nonsense.
    nonsense = torch.where(flags[0][:, None], visual, torch.tensor(77.0))
    noise = torch.where(flags[1][:, None], audio, torch.tensor(-55.0))
    again = sessions["saliency"].run(
        dict(zip(spec.inputs, (v.numpy() for v in (nonsense, flags[0], noise, flags[1])), strict=True))
    )
    assert relative_error(again["saliency"], expected[0]) <= TOLERANCE


@pytest.mark.parametrize("heard", FLAGS)
def test_spatial_agrees_with_pytorch_over_steps_of_its_state(heard, sessions, tiny_model):
    spec = SPECS["spatial"]
    state = torch.zeros(1, tiny_model.settings.policy_hidden)
    corners = []
    for moment in (0, 5, 10, 15):
        feature_map, audio, flags, _ = real_look(tiny_model, moment, heard)
        corner, following = check(spec, tiny_model, sessions["spatial"], (feature_map, audio, flags, state))
        state = torch.from_numpy(following)
        corners.append(corner[0])
    assert np.ptp(np.stack(corners), axis=0).max() > 1  # pixels: the state and the frame matter


@pytest.mark.parametrize("heard", FLAGS)
def test_the_classifier_agrees_with_pytorch_for_every_number_of_moments_seen(heard, sessions, tiny_model):
    spec = SPECS["classifier"]
    flags = torch.from_numpy(hearing(heard, 2))
    heads = []
    for seen in range(1, 17):
        visual, local, audio, _, state, _ = example_inputs(spec, tiny_model, 1, seed=seen)
        inputs = (visual, local, audio, flags, state, torch.tensor([seen]))
        check(spec, tiny_model, sessions["classifier"], inputs)
        inputs = (*example_inputs(spec, tiny_model, 1, seed=0)[:3], flags, state * 0, torch.tensor([seen]))
        heads.append(torch_answer(spec, tiny_model, inputs)[0])
    assert len({tuple(np.round(head[0], 4)) for head in heads}) == 16  # a head for each number seen


def test_parity_can_fail(tiny_model, tiny_bundle, device):
    """A network with one other weight is told apart."""
    changed = copy.deepcopy(tiny_model)
    with torch.no_grad():
        changed.policy.fc_xy.bias[0] += 0.05
    spec = SPECS["spatial"]
    session = open_engine(device).open(tiny_bundle.graph_bytes_path("fp32", "spatial"))
    inputs = real_look(tiny_model, 7, "all")
    check(spec, tiny_model, session, inputs)
    with pytest.raises(AssertionError, match="top_left"):
        check(spec, changed, session, inputs)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_never_parity(wrong):
    good = np.array([0.0, 1.0], dtype=np.float32)
    bad = np.array([0.0, wrong], dtype=np.float32)
    assert relative_error(good, bad) == np.inf
    assert relative_error(bad, good) == np.inf
    assert relative_error(bad, bad) == np.inf
    assert relative_error(good, good) == 0
    assert relative_error(good, good[:1]) == np.inf
