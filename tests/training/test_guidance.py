"""The hint for π, and what a moment says by itself: both from clip labels alone, neither training anything else."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from avgn_edge.architectures.avgn.training.forward import evidence_centres, guidance_loss  # noqa: E402


@pytest.fixture
def model(tiny_model):
    """A copy whose FC^G reads class c from channel c alone, with certainty."""
    copied = copy.deepcopy(tiny_model)
    with torch.no_grad():
        copied.fc_g.weight.zero_()
        copied.fc_g.bias.zero_()
        for label in range(len(copied.settings.labels)):
            copied.fc_g.weight[label, label] = 50.0
    return copied.eval()


def maps_with(model, label, row, column):
    maps = torch.zeros(1, 2, model.global_encoder.channels, 7, 7)
    maps[0, 0, label, row, column] = 20.0  # the second moment shows nothing
    return maps


def test_the_hint_is_where_the_class_is_and_only_where_it_is_sure(model):
    centres, sure = evidence_centres(model, maps_with(model, 3, 1, 5), torch.tensor([3]))
    assert sure.tolist() == [[True, False]]
    torch.testing.assert_close(centres[0, 0], torch.tensor([5.5 * 32, 1.5 * 32]))
    assert not evidence_centres(model, maps_with(model, 3, 1, 5), torch.tensor([4]))[1].any()


def test_the_hint_moves_patches_and_nothing_else(model):
    maps = maps_with(model, 3, 1, 5).requires_grad_()
    corner = torch.full((1, 2, 2), 48.0, requires_grad=True)
    guidance_loss(model, maps, corner, torch.tensor([3])).backward()
    assert maps.grad is None
    assert model.fc_g.weight.grad is None
    assert corner.grad[0, 0, 0] < 0 < corner.grad[0, 0, 1]  # descent goes right and up
    assert not corner.grad[0, 1].any()


def test_the_hint_never_asks_a_patch_to_leave_the_frame(model):
    reached = torch.tensor([[[96.0, 0.0], [0.0, 0.0]]])
    assert guidance_loss(model, maps_with(model, 3, 0, 6), reached, torch.tensor([3])) == 0


def test_a_moment_by_itself_hears_no_other(tiny_model):
    fusion = tiny_model.fusion
    visual = torch.randn(2, 3, tiny_model.global_encoder.channels)
    audio = torch.randn(2, 16, tiny_model.audio_encoder.channels)
    moments = torch.tensor([7, 0, 15])
    with torch.no_grad():
        before = fusion.own_moment(visual, audio, moments)
        changed = audio.clone()
        changed[:, [2, 7]] += 1.0
        after = fusion.own_moment(visual, changed, moments)
        everything = fusion(visual, audio)
    torch.testing.assert_close(before[:, 1:], after[:, 1:])
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-3
    assert (before - everything).abs().max() > 1e-3
