"""A training run: what it learns, writes, tells and refuses."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from network_makers import LABELS  # noqa: E402
from run_makers import SETTINGS, RandomSource, random_batch, run_training, same_weights, small_model  # noqa: E402

from avgn_edge._base.errors import AvgnEdgeError, DataError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.architectures.avgn.training.recipe import take_weights  # noqa: E402
from avgn_edge.architectures.avgn.training.training_settings import LearningRates, LossWeights  # noqa: E402
from avgn_edge.training.monitor import LogMonitor, Monitor, Several  # noqa: E402
from avgn_edge.training.run import best_path, state_path  # noqa: E402

ONE_EPOCH = replace(SETTINGS, epochs=1)


class Same:
    """The same batch again and again."""

    def __init__(self, batches):
        self.batches = batches

    def epoch(self, _number, first=0):
        for _ in range(first, self.batches):
            yield random_batch(0)


def test_training_learns_a_batch_by_heart(tmp_path):
    rates = LearningRates(*[3e-3] * 5)
    settings = replace(ONE_EPOCH, optimiser="adamw", rates=rates, audio_dropout=0.0, all_looks_every=100)
    _, heard = run_training(
        tmp_path / "a.pt", model=small_model(dropout=0.0), source=Same(10), settings=settings, save_every_s=100.0
    )
    first, last = heard.steps[0, 1], heard.steps[0, 9]  # both with four looks
    for term in ("classification", "visual", "audio"):
        assert last[term] < 0.75 * first[term], term


def test_an_epoch_is_told_with_the_means_of_its_steps(tmp_path):
    _, heard = run_training(tmp_path / "a.pt", settings=ONE_EPOCH)
    for name, mean in heard.epochs[0][0].items():
        assert mean == pytest.approx(sum(terms[name] for terms in heard.steps.values()) / 3)


def test_several_labels_a_clip(tmp_path):
    source = RandomSource(2, task="multi-label")
    _, heard = run_training(tmp_path / "a.pt", model=small_model(task="multi-label"), source=source)
    assert len(heard.steps) == 4
    assert checkpoint.load(tmp_path / "a.pt").settings.task == "multi-label"


def test_frozen_modules_and_terms_of_no_weight_stay_out(tmp_path):
    losses = LossWeights(mask=0.0, ordered=0.0)
    settings = replace(ONE_EPOCH, frozen=("global_encoder", "policy"), losses=losses)
    before = small_model()
    model, heard = run_training(tmp_path / "a.pt", settings=settings)
    assert set(heard.steps[0, 0]) == {"classification", "visual", "audio", "saliency"}
    assert same_weights(model.global_encoder, before.global_encoder)
    assert same_weights(model.policy, before.policy)
    assert same_weights(model.mask_encoder, before.mask_encoder)
    assert not same_weights(model.local_encoder, before.local_encoder)


def test_some_steps_look_at_all_moments(tmp_path, monkeypatch):
    seen, model = [], small_model()
    encode_patches = model.local_encoder.forward
    monkeypatch.setattr(model.local_encoder, "forward", lambda x: (seen.append(len(x) // 2), encode_patches(x))[1])
    run_training(tmp_path / "a.pt", model=model)
    assert seen == [16, 4, 4, 16, 4, 4]


def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path):
    scores, kept = iter([0.2, 0.9, 0.5]), []

    def validation(model):
        assert not model.training
        kept.append(copy.deepcopy(model))
        return {"top1": next(scores), "another": 1.0}

    output = tmp_path / "a.safetensors"
    model, heard = run_training(
        output, validation=validation, settings=replace(SETTINGS, epochs=3), source=RandomSource(1)
    )
    assert [validated["top1"] for _, validated in heard.epochs.values()] == [0.2, 0.9, 0.5]
    assert same_weights(checkpoint.load(best_path(output)), kept[1])
    assert same_weights(checkpoint.load(output), kept[2])
    assert same_weights(model, kept[2])
    assert not model.training
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.best.safetensors", "a.safetensors", "a.safetensors.state"
    ]  # fmt: skip


def spoiled(part, value):
    def spoil(epoch, number, batch):
        return (
            replace(batch, **{part: torch.full_like(getattr(batch, part), value)})
            if (epoch, number) == (1, 1)
            else batch
        )

    return spoil


def test_a_loss_that_is_not_finite_stops_training_and_what_was_good_stays(tmp_path):
    output = tmp_path / "a.pt"
    source = RandomSource(spoil=spoiled("spectrograms", float("nan")))
    with pytest.raises(AvgnEdgeError, match=r"training, step 4: the loss term \w+ is nan: use lower learning rates"):
        run_training(output, source=source)
    assert all(bool(value.isfinite().all()) for value in checkpoint.load(output).state_dict().values())
    state = torch.load(state_path(output), weights_only=True)
    assert all(bool(value.isfinite().all()) for value in state["model"].values())
    assert state["progress"]["epoch"] == 1


def test_the_output_must_be_a_file_that_can_be_written(tmp_path):
    for output in (tmp_path, tmp_path / "none" / "a.pt"):
        with pytest.raises(DataError, match="give a file in a folder that is there"):
            run_training(output)


def test_monitors_hear_the_same_and_logs_are_written(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        log = LogMonitor(logging.getLogger("training"), every=2)
        run_training(tmp_path / "a.pt", settings=ONE_EPOCH, monitor=Several([log, Monitor()]))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "epoch 1, step 0 of 3", "epoch 1, step 2 of 3", "epoch 1"
    ]  # fmt: skip


# ---- fine-tuning ----------------------------------------------------------------------------------------------------


def test_heads_keep_the_labels_they_know_by_name():
    trained = small_model(seed=1)
    labels = ("new", LABELS[3], LABELS[0])
    torch.manual_seed(2)
    model = type(trained)(replace(trained.settings, labels=labels, task="multi-label"))
    fresh = copy.deepcopy(model)
    assert take_weights(model, trained) == ("new",)
    assert same_weights(model.local_encoder, trained.local_encoder)
    for head in ("fc_g", "fc_l", "fc_a"):
        weight, old = model.get_submodule(head).weight, trained.get_submodule(head).weight
        assert torch.equal(weight[1:], old[[3, 0]])
        assert torch.equal(weight[0], fresh.get_submodule(head).weight[0])
    for head in ("classifier", "visual_classifier", "audio_classifier"):
        weight, old = model.get_submodule(head).weight, trained.get_submodule(head).weight
        assert torch.equal(weight[:, 1:], old[:, [3, 0]])
        assert torch.equal(weight[:, 0], fresh.get_submodule(head).weight[:, 0])


def test_fine_tuning_with_the_same_labels_is_the_same_network():
    trained = small_model(seed=1)
    model = small_model(seed=2)
    assert take_weights(model, trained) == ()
    assert same_weights(model, trained)


def test_another_network_cannot_be_fine_tuned():
    with pytest.raises(ValueError, match="its parameters do not fit"):
        take_weights(small_model(aespa=False), small_model())
    with pytest.raises(ValueError, match="its parameters do not fit"):
        take_weights(small_model(classifier_dim=32), small_model())
