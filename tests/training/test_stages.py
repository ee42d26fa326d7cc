"""A recipe of two stages: encoders, then all behind them on features that are computed once when they are frozen."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from run_makers import (  # noqa: E402
    BEHIND,
    ENCODERS,
    EVERY_STEP,
    Remembers,
    run_training,
    same_weights,
    small_model,
    two_stages,
)

from avgn_edge._base.errors import DataError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.training.run import state_path  # noqa: E402
from avgn_edge.training.stages import make_optimiser  # noqa: E402

STEPS = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was not interrupted: its recipe and what its monitor heard."""
    recipe = two_stages(small_model())
    return recipe, run_training(tmp_path_factory.mktemp("whole") / "a.pt", recipe=recipe, monitor=Hears())[1]


def test_stages_follow_one_another_and_each_trains_its_own(whole, tmp_path):
    recipe, heard = whole
    assert heard.stages == [("encoders", 0, 0), ("behind", 2, 4)]
    assert list(heard.steps) == STEPS
    assert set(heard.steps[1, 0]) == {"visual", "audio"}
    assert set(heard.steps[2, 0]) == {"classification", "visual", "saliency", "mask", "ordered"}
    assert recipe.stages[1].source.asked == [2, 3]  # epochs count on, so that nothing is drawn twice
    begun, both = small_model(), two_stages(small_model())
    alone, _ = run_training(tmp_path / "a.pt", recipe=replace(both, stages=both.stages[:1]))
    for name in ENCODERS.keys() - {"no_audio"}:
        part = recipe.model.get_submodule(name)
        assert not same_weights(part, begun.get_submodule(name))
        assert same_weights(part, alone.get_submodule(name))  # the second stage left it alone, statistics included
    for name in BEHIND:
        assert same_weights(alone.get_submodule(name), begun.get_submodule(name))
        assert not same_weights(recipe.model.get_submodule(name), begun.get_submodule(name))


@pytest.mark.parametrize(
    ("place", "under_way"), [((1, 0), 0), ((2, 0), 0), ((3, 1), 1)], ids=["first", "at the border", "second"]
)
def test_resuming_in_any_stage_equals_not_having_stopped(whole, tmp_path, place, under_way):
    output, first = tmp_path / "a.safetensors", Hears(place)
    with pytest.raises(ZeroDivisionError):
        run_training(output, recipe=two_stages(small_model()), monitor=first, **EVERY_STEP)
    assert torch.load(state_path(output), weights_only=True)["progress"]["stage"] == under_way
    torch.manual_seed(99)
    again = two_stages(small_model(seed=5))
    model, second = run_training(output, recipe=again, resume=True, monitor=Hears())
    assert list(second.steps) == STEPS[STEPS.index(place) :]
    assert {**first.steps, **second.steps} == whole[1].steps
    assert second.stages == whole[1].stages[under_way:]
    assert same_weights(model, whole[0].model)
    assert same_weights(checkpoint.load(output), whole[0].model)


def test_a_finished_run_is_not_walked_again(whole, tmp_path):
    output = tmp_path / "a.pt"
    run_training(output, recipe=two_stages(small_model()))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model, heard = run_training(output, recipe=two_stages(small_model(seed=5)), resume=True)
    assert not heard.steps
    assert same_weights(model, whole[0].model)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_stages_and_states_of_before_are_not_resumed(tmp_path):
    output = tmp_path / "a.pt"
    with pytest.raises(ZeroDivisionError):
        run_training(output, recipe=two_stages(small_model()), monitor=Hears((2, 1)))
    with pytest.raises(DataError, match=r"batches was \[2, 3\], now \[4, 3\]"):
        run_training(output, recipe=two_stages(small_model(), first_batches=4), resume=True)
    state = torch.load(state_path(output), weights_only=True)
    torch.save({**state, "format": "avgn-edge training state 1"}, state_path(output))
    with pytest.raises(DataError, match=r"it is not 'avgn-edge training state 2': delete it to train anew"):
        run_training(output, recipe=two_stages(small_model()), resume=True)


def test_a_module_that_is_not_there_is_named():
    model = small_model()
    stage = two_stages(model).stages[0]
    for wrong in (replace(stage, rates={"brain": 1.0}), replace(stage, fixed_statistics=("brain",))):
        with pytest.raises(ValueError, match="the network has no module 'brain'"):
            make_optimiser(model, wrong)
