"""Ablations are settings of one network: each takes away what it says, and the rest still runs, also as graphs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from network_makers import LABELS, lively_model, made_clip, network_inputs, tiny_settings  # noqa: E402

from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.inference import classify  # noqa: E402
from avgn_edge.architectures.avgn.network.settings import Settings  # noqa: E402
from avgn_edge.architectures.avgn.split import trained  # noqa: E402
from avgn_edge.architectures.avgn.training.training_settings import (  # noqa: E402
    PARTS,
    TrainingSettings,
    without,
)
from avgn_edge.media.moments import GLANCE_ORDER  # noqa: E402


def answers(model, seed=30, **kinds):
    frames, spectrograms, heard = (torch.from_numpy(part) for part in network_inputs(made_clip(seed, **kinds)))
    return classify(model, frames, spectrograms, heard, GLANCE_ORDER[:8], 4)


def other_sound(model):
    """The same frames with another clip's sound."""
    frames, _, _ = network_inputs(made_clip(30))
    _, spectrograms, heard = network_inputs(made_clip(31))
    return classify(model, *map(torch.from_numpy, (frames, spectrograms, heard)), GLANCE_ORDER[:8], 4)


def corners(looks):
    return [look.top_left for look in looks]


def ablated(tiny_model, **switches):
    """The tiny network with a part switched off, and what is left of its weights."""
    model = AVGN(tiny_settings(**switches))
    missing, _ = model.load_state_dict(tiny_model.state_dict(), strict=False)
    assert not missing
    return model.eval()


def test_without_audio_nothing_depends_on_the_sound(tiny_model):
    saliency, looks = answers(tiny_model)
    assert not torch.equal(saliency, other_sound(tiny_model)[0])
    deaf = ablated(tiny_model, audio=False)
    saliency, looks = answers(deaf)
    again, others = other_sound(deaf)
    torch.testing.assert_close(saliency, again)
    torch.testing.assert_close(looks[-1].probabilities, others[-1].probabilities)


def test_without_av_test_moments_come_in_glance_order(tiny_model):
    assert tuple(look.moment for look in answers(tiny_model)[1]) != GLANCE_ORDER[:4]
    _, looks = answers(ablated(tiny_model, sampling="uniform"))
    assert tuple(look.moment for look in looks) == GLANCE_ORDER[:4]


def test_without_the_policy_every_patch_is_the_centre(tiny_model):
    assert corners(answers(tiny_model)[1]) != [(48.0, 48.0)] * 4
    assert corners(answers(ablated(tiny_model, patches="centre"))[1]) == [(48.0, 48.0)] * 4


def test_without_aespa_the_patch_does_not_depend_on_the_sound(tiny_model):
    uniform = {"sampling": "uniform"}  # the same moments in the same order
    hearing = ablated(tiny_model, **uniform)
    assert corners(answers(hearing)[1]) != corners(other_sound(hearing)[1])
    deaf = ablated(tiny_model, aespa=False, **uniform)
    assert corners(answers(deaf)[1]) == corners(other_sound(deaf)[1])


def test_without_the_fusion_every_frame_gets_the_mean_of_the_audio(tiny_model):
    model = ablated(tiny_model, fusion=False)
    visual, audio = torch.randn(1, 3, model.global_encoder.channels), torch.randn(1, 16, model.audio_encoder.channels)
    with torch.no_grad():
        fused = model.fusion(visual, audio)
        torch.testing.assert_close(fused, model.fusion.memory(audio.mean(dim=1, keepdim=True)).expand(-1, 3, -1))
        own = model.fusion.own_moment(visual, audio, torch.tensor([4, 0, 9]))
        torch.testing.assert_close(own, model.fusion.memory(audio[:, [4, 0, 9]]))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_switched_off_by_name(part):
    network, training = without([part], Settings(LABELS), TrainingSettings())
    assert (network != Settings(LABELS)) != (training != TrainingSettings())


def test_a_part_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"'psi'; there are audio, av-test, aespa"):
        without(["psi"], Settings(LABELS), TrainingSettings())


@pytest.mark.slow
def test_a_network_without_its_parts_still_exports(tmp_path):
    """Export compares each graph with PyTorch, inputs that nothing depends on any more included."""
    pytest.importorskip("onnx")
    from avgn_edge.export.to_bundle import export_bundle

    network, _ = without(["av-test", "aespa", "fusion", "policy"], tiny_settings(), TrainingSettings())
    model = lively_model(**{name: getattr(network, name) for name in ("sampling", "aespa", "fusion", "patches")})
    export_bundle(trained(model), tmp_path / "bundle", name="bare", confidence=None)
