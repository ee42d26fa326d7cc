"""Section 3.4: what each loss is, and which gradients are stopped."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from network_makers import made_clip, network_inputs  # noqa: E402

from avgn_edge.architectures.avgn.training import objective as paper  # noqa: E402
from avgn_edge.architectures.avgn.training.forward import draw_glanced, encode, run  # noqa: E402
from avgn_edge.architectures.avgn.training.objective import AvgnObjective  # noqa: E402
from avgn_edge.architectures.avgn.training.training_settings import LossWeights, TrainingSettings  # noqa: E402
from avgn_edge.media.moments import GLANCE_ORDER  # noqa: E402
from avgn_edge.training.batches import Batch  # noqa: E402

ORDER = torch.tensor(GLANCE_ORDER)
TARGET = torch.tensor([2, 5])


@pytest.fixture
def model(tiny_model):
    """A copy that may be changed, in evaluation mode: no dropout, and batch norms as they are."""
    copied = copy.deepcopy(tiny_model)
    for parameter in copied.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    return copied.eval()


@pytest.fixture(scope="module")
def batch():
    clips = [network_inputs(made_clip(seed, heard)) for seed, heard in ((21, "all"), (22, "some"))]
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))


def go(model, batch, order=ORDER, mask_ratio=0.75):
    torch.manual_seed(1)
    done = run(model, batch[0], encode(model, *batch), order, mask_ratio)
    assert mask_ratio == 0 or (done.glanced.any() and not done.glanced.all())
    return done


def touched(model, loss):
    """The first words of the names of the parameters that the loss reaches."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name.split(".")[0]
        for name, value in model.named_parameters()
        if value.grad is not None and value.grad.abs().max() > 0
    }


# ---- gradients ------------------------------------------------------------------------------------------------------


def test_no_gradient_goes_from_the_saliency_transformer_into_the_encoders(model, batch):
    done = go(model, batch)
    assert touched(model, done.saliency.scores.sum()) == {"av_test"}
    assert touched(model, paper.saliency_loss(model, go(model, batch))) == {"av_test"}


def test_no_gradient_goes_from_the_policy_and_aespa_into_the_encoders(model, batch):
    assert touched(model, go(model, batch).top_left.pow(2).sum()) == {"policy", "aespa"}


def test_no_gradient_goes_from_the_audio_fusion_into_the_global_encoder(model, batch):
    features = encode(model, *batch)
    visual = features.maps.mean(dim=(3, 4))
    fused = model.fuse(visual, torch.zeros(*visual.shape[:2], model.local_encoder.channels), features.audio)
    attended = fused[..., -model.settings.fusion_dim :]
    reached = touched(model, attended.pow(2).sum())
    assert "global_encoder" not in reached
    assert {"fusion", "audio_encoder"} <= reached
    features = encode(model, *batch)
    visual = features.maps.mean(dim=(3, 4))
    fused = model.fuse(visual, torch.zeros(*visual.shape[:2], model.local_encoder.channels), features.audio)
    assert "global_encoder" in touched(model, fused[..., : visual.shape[-1]].pow(2).sum())  # but f_C's own input does


def test_the_classification_loss_trains_the_patches_and_every_encoder(model, batch):
    reached = touched(model, paper.classification_loss(model, go(model, batch), TARGET))
    assert reached == {
        *("global_encoder", "audio_encoder", "local_encoder", "no_audio"),
        *("aespa", "policy", "fusion", "classifier"),
    }


def test_the_patches_are_trained_through_the_crop_alone(model, batch):
    done = go(model, batch)
    reached = touched(model, done.local.pow(2).sum())
    assert reached == {"local_encoder", "policy", "aespa"}


def test_the_auxiliary_losses_train_what_they_are_about(model, batch):
    reached = touched(model, paper.visual_loss(model, go(model, batch), TARGET))
    assert reached >= {"fc_g", "fc_l", "visual_classifier", "global_encoder", "local_encoder"}
    assert not reached & {"audio_encoder", "fusion", "av_test", "classifier", "no_audio"}
    reached = touched(model, paper.audio_loss(model, go(model, batch), TARGET))
    assert reached == {"fc_a", "audio_classifier", "audio_encoder", "no_audio"}


def test_the_order_loss_trains_the_saliency(model, batch):
    done = go(model, batch)
    scores = done.saliency.scores
    scores.retain_grad()
    reached = touched(model, paper.ordered_loss(model, done, TARGET))
    assert scores.grad is not None
    assert scores.grad.abs().max() > 0
    assert {"av_test", "classifier"} <= reached


def test_the_mask_loss_s_target_carries_no_gradient(model, batch):
    done = go(model, batch)
    done.saliency.embedded.retain_grad()
    reached = touched(model, paper.mask_loss(done))
    # It also feeds the transformer where it was not masked; as a target it was masked, and there the gradient is none.
    assert done.saliency.embedded.grad is None or not done.saliency.embedded.grad[~done.glanced].any()
    assert reached == {"av_test", "mask_encoder"}


def test_the_targets_of_the_saliency_carry_no_gradient_and_peak_at_one(model, batch):
    done = go(model, batch)
    targets = paper.saliency_targets(model, done)
    assert not targets.requires_grad
    torch.testing.assert_close(targets.amax(dim=1), torch.ones(2))
    assert targets.min() > 0
    confidence = model.classifier.single(done.alone).softmax(dim=-1).amax(dim=-1)
    torch.testing.assert_close(targets, confidence / confidence.amax(dim=1, keepdim=True))


# ---- values ---------------------------------------------------------------------------------------------------------


def test_cross_entropy_of_one_label_is_the_mean_over_clips_and_moments():
    logits = torch.randn(3, 5, 7)
    target = torch.tensor([0, 6, 2])
    by_hand = -torch.stack([logits[i, t].log_softmax(-1)[target[i]] for i in range(3) for t in range(5)]).mean()
    torch.testing.assert_close(paper.cross_entropy(logits, target), by_hand)


def test_cross_entropy_of_several_labels_is_binary():
    logits, target = torch.randn(3, 5, 7), (torch.rand(3, 7) < 0.4).float()
    p = logits.sigmoid()
    by_hand = -(target[:, None] * p.log() + (1 - target[:, None]) * (1 - p).log()).mean()
    torch.testing.assert_close(paper.cross_entropy(logits, target), by_hand)


def test_the_mask_loss_is_over_the_masked_tokens_only(model, batch):
    done = go(model, batch)
    expected = (done.rebuilt - done.saliency.embedded)[~done.glanced].pow(2).mean()
    torch.testing.assert_close(paper.mask_loss(done), expected)
    assert paper.mask_loss(go(model, batch, mask_ratio=0.0)) == 0  # nothing masked, and still no NaN


def test_a_batch_without_any_sound_has_no_audio_loss(model, batch):
    silent = (batch[0], batch[1], torch.zeros_like(batch[2]))
    loss = paper.audio_loss(model, go(model, silent), TARGET)
    assert loss == 0
    loss.backward()


def test_clips_without_sound_are_left_out_of_the_audio_loss(model, batch):
    half = (batch[0], batch[1], batch[2] & torch.tensor([[True], [False]]))
    done = go(model, half)
    order = list(GLANCE_ORDER)
    audio = done.audio[:1, order]
    expected = F.cross_entropy(model.fc_a(audio[0]), TARGET[:1].repeat(16)) + F.cross_entropy(
        model.audio_classifier.prefixes(model.audio_classifier.embed(audio))[0], TARGET[:1].repeat(16)
    )
    torch.testing.assert_close(paper.audio_loss(model, done, TARGET), expected)


@pytest.mark.parametrize("left_out", [None, "visual", "mask", "ordered"])
def test_the_total_is_the_weighted_sum_of_the_terms_that_count(model, batch, left_out):
    weights = {} if left_out is None else {left_out: 0.0}
    settings = TrainingSettings(losses=LossWeights(**weights, saliency=3.0), audio_dropout=0.0)
    objective = AvgnObjective(model, settings)
    torch.manual_seed(1)
    terms = objective(Batch(*batch, TARGET), step=0)
    assert set(terms) == {"classification", "visual", "audio", "saliency", "mask", "ordered"} - {left_out}
    assert all(value.isfinite() and value > 0 for value in terms.values())
    expected = sum(value * (3 if name == "saliency" else 1) for name, value in terms.items())
    torch.testing.assert_close(objective.total(terms), expected)


def test_the_second_crop_teaches_the_local_encoder_and_not_the_policy(model, batch):
    settings = TrainingSettings(losses=LossWeights(0, 0, 0, 0, 0, 0, random_crop=1.0), audio_dropout=0.0)
    objective = AvgnObjective(model, settings)
    torch.manual_seed(1)
    terms = objective(Batch(*batch, TARGET), step=0)
    assert set(terms) == {"random_crop"}
    reached = touched(model, objective.total(terms))
    assert "local_encoder" in reached
    assert not reached & {"policy", "aespa", "av_test"}


def test_every_clip_is_deaf_with_audio_dropout_of_one(model, batch):
    objective = AvgnObjective(model, TrainingSettings(audio_dropout=1.0))
    assert objective(Batch(*batch, TARGET), step=0)["audio"].item() == 0  # no clip is left that L_A could judge


def test_a_step_that_looks_at_fewer_moments_sees_that_many(model, batch, monkeypatch):
    seen = []
    encode_patches = model.local_encoder.forward
    monkeypatch.setattr(model.local_encoder, "forward", lambda x: (seen.append(len(x)), encode_patches(x))[1])
    objective = AvgnObjective(model, TrainingSettings(looks=5, all_looks_every=2))
    objective(Batch(*batch, TARGET), step=1)
    objective(Batch(*batch, TARGET), step=2)
    assert seen == [2 * 5, 2 * 16]


def test_the_order_loss_uses_the_most_salient_first(model, batch, monkeypatch):
    """With the noise gone, it is the cross entropy of the first few in the order of their scores."""
    done = go(model, batch)
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, *_: self.fill_(1.0))
    torch.manual_seed(0)
    few = int(torch.randint(1, 9, ()))
    torch.manual_seed(0)
    actual = paper.ordered_loss(model, done, TARGET)
    best = done.saliency.scores.argsort(dim=1, descending=True)[:, :few]
    hidden = done.hidden.gather(1, best.unsqueeze(-1).expand(-1, -1, done.hidden.shape[-1]))
    torch.testing.assert_close(actual, paper.cross_entropy(model.classifier.prefixes(hidden), TARGET))


# ---- the pass -------------------------------------------------------------------------------------------------------


def test_glances_are_the_first_of_the_order_and_a_quarter_of_the_rest():
    torch.manual_seed(0)
    seen = draw_glanced(20_000, 16, 0.75)[:, ORDER].float()
    # A moment is masked with probability 0.75 if T_G, uniform on 0..16, does not reach it.
    expected = torch.tensor([1 - 0.75 * (rank + 1) / 17 for rank in range(16)])
    torch.testing.assert_close(seen.mean(dim=0), expected, atol=0.02, rtol=0)
    assert draw_glanced(50, 16, 0.0).all()
    only = draw_glanced(500, 16, 1.0)[:, ORDER]
    assert (only.int().diff(dim=1) <= 0).all()  # a prefix of the order, and nothing else
    assert set(only.sum(dim=1).tolist()) == set(range(17))


def test_a_training_pass_is_what_inference_computes(model, batch):
    """With every frame glanced at and the moments in the order of their saliency, p_t are those of section 3.5."""
    from avgn_edge.architectures.avgn.network.inference import classify

    frames, spectrograms, heard = (part[:1] for part in batch)
    saliency, looks = classify(model, frames[0], spectrograms[0], heard[0], GLANCE_ORDER, 5)
    order = torch.tensor([look.moment for look in looks])
    with torch.no_grad():
        done = go(model, (frames, spectrograms, heard), order, mask_ratio=0.0)
        answers = model.classifier.prefixes(done.hidden)[0].softmax(dim=-1)
    torch.testing.assert_close(done.saliency.scores[0], saliency[order], atol=1e-3, rtol=0)
    for at, look in enumerate(looks):
        torch.testing.assert_close(done.top_left[0, at], torch.tensor(look.top_left), atol=0.05, rtol=0)
        torch.testing.assert_close(answers[at], look.probabilities, atol=1e-3, rtol=0)
