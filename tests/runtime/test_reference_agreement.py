"""The runtime takes the steps of section 3.5 that plain PyTorch takes: the same moments, boxes and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from network_makers import made_clip, network_inputs

from avgn_edge.media.frames import FrameGeometry
from avgn_edge.media.moments import GLANCE_ORDER
from avgn_edge.runtime.recognizer import Recognizer

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

CLIPS = [(1, "all"), (2, "some"), (3, "none")]


@pytest.fixture(scope="module")
def recognizer(tiny_bundle, device):
    with Recognizer.open(tiny_bundle, device, "fp32") as opened:
        yield opened


@pytest.fixture(scope="module")
def references(tiny_model):
    """PyTorch's answers, worked out once for both engines: (clip, T_G) -> saliency and sixteen looks."""
    from avgn_edge.architectures.avgn.network.inference import classify

    known = {}

    def _reference(seed, heard, glances):
        key = (seed, glances)
        if key not in known:
            inputs = map(torch.from_numpy, network_inputs(made_clip(seed, heard)))
            known[key] = classify(tiny_model, *inputs, GLANCE_ORDER[:glances], 16)
        return known[key]

    return _reference


@pytest.mark.parametrize("looks", [1, 5, 16])
@pytest.mark.parametrize("glances", [0, 4, 12, 16])
@pytest.mark.parametrize(("seed", "heard"), CLIPS)
def test_the_runtime_takes_the_same_steps_as_pytorch(seed, heard, glances, looks, recognizer, references):
    saliency, expected = references(seed, heard, glances)
    with made_clip(seed, heard) as clip:
        results = list(recognizer.steps(clip, glances=glances, looks=looks))
        size = clip.display_size
    looked = [result for result in results if result.budget.looks]
    assert len(looked) == looks
    last = results[-1]
    assert (last.exit, last.budget.looks) == ("looks", looks)

    np.testing.assert_allclose(
        [m.saliency for m in last.moments], saliency.numpy(), atol=1e-4 * np.ptp(saliency.numpy())
    )
    order = sorted((m.rank, m.index) for m in last.moments if m.rank is not None)
    assert [index for _, index in order] == [look.moment for look in expected[:looks]]

    for look, result in zip(expected, looked, strict=False):
        mapped = FrameGeometry(256, 224).to_source((*look.top_left, 128.0, 128.0), size)
        half = np.array([size[0], size[1]] * 2) / 256 * 0.5  # half a pixel of the 224-pixel frame, in the source's
        assert np.all(np.abs(np.array(result.moments[look.moment].box) - mapped) <= half)
        np.testing.assert_allclose(result.probabilities, look.probabilities.numpy(), atol=1e-3)

    glanced = {m.index for m in last.moments if m.glanced}
    assert glanced == set(GLANCE_ORDER[:glances]) | {look.moment for look in expected[:looks]}


def test_the_reference_s_answers_differ_enough_to_tell_mistakes(references):
    """Corners spread, clips differ, order is not the glance order, and no two saliencies are nearly equal."""
    firsts, corners, answers = set(), [], []
    for seed, heard in CLIPS:
        saliency, looks = references(seed, heard, 12)
        ordered = saliency.sort().values
        assert float((ordered[1:] - ordered[:-1]).min()) > 1e-4
        assert [look.moment for look in looks] != sorted(look.moment for look in looks)
        firsts.add(tuple(look.moment for look in looks[:5]))
        corners += [look.top_left for look in looks]
        answers += [look.probabilities.numpy() for look in looks]
    assert len(firsts) == len(CLIPS)
    assert np.all(np.ptp(corners, axis=0) > 40)
    assert np.std(answers, axis=0).min() > 0.02


def test_what_was_glanced_at_changes_what_is_salient(references):
    orders = {tuple(look.moment for look in references(1, "all", glances)[1]) for glances in (0, 4, 12)}
    assert len(orders) == 3


def test_the_answer_before_any_look_is_the_auxiliary_heads_one(recognizer, tiny_model):
    """f_C^A over the sound that was heard; with glances, its mean with the mean of FC^G."""
    with made_clip(2, "some") as clip:
        frames, spectrograms, heard = (torch.from_numpy(part) for part in network_inputs(clip))
        results = list(recognizer.steps(clip, glances=4, looks=1))
    with torch.no_grad():
        head = tiny_model.audio_classifier
        pooled = head.embed(tiny_model.audio_encoder(spectrograms[heard])).amax(dim=0, keepdim=True)
        by_sound = head.head(pooled, heard.sum()[None]).softmax(dim=-1)[0].numpy()
        maps = tiny_model.global_encoder(frames[list(GLANCE_ORDER[:4])])
        by_sight = tiny_model.fc_g(maps.mean(dim=(2, 3))).softmax(dim=-1).mean(dim=0).numpy()
    np.testing.assert_allclose(results[0].probabilities, by_sound, atol=1e-4)
    np.testing.assert_allclose(results[1].probabilities, (by_sound + by_sight) / 2, atol=1e-4)
