"""A recipe of two stages: encoders, then all behind them on features that are computed once when they are frozen."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from run_makers import EVERY_STEP, SETTINGS, RandomSource, Remembers, same_weights, small_model  # noqa: E402

from avgn_edge._base.errors import DataError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.architectures.avgn.training.objective import AvgnObjective  # noqa: E402
from avgn_edge.architectures.avgn.training.training_settings import LossWeights  # noqa: E402
from avgn_edge.training.run import state_path, train  # noqa: E402
from avgn_edge.training.stages import Optimisation, Recipe, Stage, make_optimiser  # noqa: E402

ENCODERS = {"global_encoder": 1e-3, "audio_encoder": 1e-3, "fc_g": 1e-2, "fc_a": 1e-2, "no_audio": 1e-2}
BEHIND = dict.fromkeys(("local_encoder", "av_test", "aespa", "policy", "fusion", "classifier", "mask_encoder"), 1e-3)
STEPS = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]


class Kept:
    """What the encoders say of random batches, computed when an epoch is first asked for."""

    batches = 3

    def __init__(self, model):
        self.model, self.kept, self.asked = model, {}, []

    def epoch(self, number, first=0):
        self.asked.append(number)
        for place, batch in enumerate(RandomSource(self.batches).epoch(0, first), start=first):
            if place not in self.kept:
                with torch.no_grad():
                    maps = self.model.global_encoder.eval()(batch.frames.flatten(0, 1))
                    audio = self.model.audio_encoder.eval()(batch.spectrograms.flatten(0, 1))
                self.kept[place] = replace(batch, maps=maps.unflatten(0, (2, 16)), audio=audio.unflatten(0, (2, 16)))
            yield self.kept[place]


def two_stages(model, first_batches=2):
    heads = replace(SETTINGS, losses=LossWeights(classification=0, saliency=0, mask=0, ordered=0))
    rest = replace(SETTINGS, losses=LossWeights(audio=0, visual=2.0))
    adamw = Optimisation("adamw", weight_decay=1e-2, warmup=0.2, clip_norm=5.0)
    stages = (
        Stage("encoders", AvgnObjective(model, heads), ENCODERS, RandomSource(first_batches), 2, SETTINGS),
        Stage("behind", AvgnObjective(model, rest), BEHIND, Kept(model), 2, adamw, ("local_encoder",)),
    )
    return Recipe(model, stages, partial(checkpoint.save, model), {"network": "tiny", "data": "random"})


class Hears(Remembers):
    """Remembers stages too, and fails at a step, or while an epoch's checkpoint is written."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.stages, self.fails_at = [], fails_at

    def stage(self, stage, first_epoch, first_step):
        self.stages.append((stage.name, first_epoch, first_step))

    def step(self, epoch, step, steps, terms):
        super().step(epoch, step, steps, terms)
        if (epoch, step) == self.fails_at:
            raise ZeroDivisionError


def walk(output, model=None, resume=False, fails_at=None, **options):
    recipe, heard = two_stages(model or small_model()), Hears(fails_at)
    train(recipe, output, resume=resume, monitor=heard, device=torch.device("cpu"), **options)
    return recipe, heard


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was not interrupted."""
    return walk(tmp_path_factory.mktemp("whole") / "a.safetensors")


def test_stages_follow_one_another_and_each_trains_its_own(whole, tmp_path):
    recipe, heard = whole
    assert heard.stages == [("encoders", 0, 0), ("behind", 2, 4)]
    assert list(heard.steps) == STEPS
    assert set(heard.steps[1, 0]) == {"visual", "audio"}
    assert set(heard.steps[2, 0]) == {"classification", "visual", "saliency", "mask", "ordered"}
    assert recipe.stages[1].source.asked == [2, 3]  # the epochs count on, so that nothing is drawn twice
    begun, alone = small_model(), small_model()
    first = two_stages(alone)
    train(
        replace(first, stages=first.stages[:1]), tmp_path / "a.pt",
        resume=False, monitor=Remembers(), device=torch.device("cpu"),
    )  # fmt: skip
    for name in ENCODERS.keys() - {"no_audio"}:
        part = recipe.model.get_submodule(name)
        assert not same_weights(part, begun.get_submodule(name))
        assert same_weights(part, alone.get_submodule(name))  # the second stage left it alone, statistics included
    for name in BEHIND:
        assert same_weights(alone.get_submodule(name), begun.get_submodule(name))
        assert not same_weights(recipe.model.get_submodule(name), begun.get_submodule(name))


@pytest.mark.parametrize("place", [(1, 0), (2, 0), (3, 1)], ids=["first", "at the border", "second"])
def test_resuming_in_any_stage_equals_not_having_stopped(whole, tmp_path, place):
    output = tmp_path / "a.safetensors"
    first = Hears(place)
    with pytest.raises(ZeroDivisionError):
        train(
            two_stages(small_model()), output,
            resume=False, monitor=first, device=torch.device("cpu"), **EVERY_STEP,
        )  # fmt: skip
    progress = torch.load(state_path(output), weights_only=True)["progress"]
    at = max(STEPS.index(place), 1) - 1
    assert progress["stage"] == (STEPS[at][0] >= 2)
    torch.manual_seed(99)
    recipe, second = walk(output, small_model(seed=5), resume=True)
    assert list(second.steps) == STEPS[STEPS.index(place) :]
    assert {**first.steps, **second.steps} == whole[1].steps
    assert second.stages == whole[1].stages[place[0] >= 3 :]
    assert same_weights(recipe.model, whole[0].model)
    assert same_weights(checkpoint.load(output), whole[0].model)


def test_a_finished_run_is_not_walked_again(whole, tmp_path):
    output = tmp_path / "a.safetensors"
    walk(output)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    recipe, heard = walk(output, small_model(seed=5), resume=True)
    assert not heard.steps
    assert same_weights(recipe.model, whole[0].model)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_stages_and_states_of_before_are_not_resumed(tmp_path):
    output = tmp_path / "a.pt"
    with pytest.raises(ZeroDivisionError):
        walk(output, fails_at=(2, 1), **EVERY_STEP)
    asked = {"resume": True, "monitor": Remembers(), "device": torch.device("cpu")}
    with pytest.raises(DataError, match=r"batches was \[2, 3\], now \[4, 3\]"):
        train(two_stages(small_model(), first_batches=4), output, **asked)
    state = torch.load(state_path(output), weights_only=True)
    torch.save({**state, "format": "avgn-edge training state 1"}, state_path(output))
    with pytest.raises(DataError, match=r"it is not 'avgn-edge training state 2': delete it to train anew"):
        train(two_stages(small_model()), output, **asked)


def test_a_module_that_is_not_there_is_named():
    model = small_model()
    stage = two_stages(model).stages[0]
    for wrong in (replace(stage, rates={"brain": 1.0}), replace(stage, fixed_statistics=("brain",))):
        with pytest.raises(ValueError, match="the network has no module 'brain'"):
            make_optimiser(model, wrong)
