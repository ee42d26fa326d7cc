"""An interrupted run that is resumed makes the same losses and weights, bit for bit, as one that never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from run_makers import (  # noqa: E402
    EVERY_STEP,
    SETTINGS,
    RandomSource,
    Remembers,
    run_training,
    same_weights,
    small_model,
)

from avgn_edge._base.errors import DataError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.training.run import best_path, state_path  # noqa: E402

STEPS = [(epoch, step) for epoch in range(2) for step in range(3)]


def score(model):
    """A validation that draws, as one of a user's may."""
    return {"score": float(torch.rand(())) + float(model.fc_g.bias.detach().sum())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was not interrupted: its model and what its monitor heard."""
    model, heard = run_training(tmp_path_factory.mktemp("whole") / "a.safetensors")
    assert list(heard.steps) == STEPS
    assert len({tuple(terms.values()) for terms in heard.steps.values()}) == len(STEPS)
    return model, heard


class StopsAt(Remembers):
    """Interrupts the run when it hears of a step: as Ctrl-C would, or as a bug would, at once."""

    def __init__(self, place, how):
        super().__init__()
        self.place, self.how = place, how

    def step(self, epoch, step, steps, terms):
        super().step(epoch, step, steps, terms)
        if (epoch, step) == self.place:
            self.how()


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def fault():
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("place", "how", "ends_after"),
    [
        ((0, 1), ctrl_c, (0, 2)),  # the step under way is finished
        ((1, 0), terminate, (1, 1)),
        ((1, 1), fault, (1, 1)),  # the step is lost, and taken again
    ],
    ids=["ctrl_c", "terminate", "fault"],
)
def test_resuming_equals_not_having_stopped(whole, tmp_path, place, how, ends_after):
    output = tmp_path / "a.safetensors"
    first = StopsAt(place, how)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError if how is fault else KeyboardInterrupt):
        run_training(output, monitor=first, **(EVERY_STEP if how is fault else {}))
    assert signal.getsignal(signal.SIGINT) is before
    assert list(first.steps)[-1] == ends_after
    torch.manual_seed(99)  # resuming does not rest on what was drawn before
    model, second = run_training(output, model=small_model(seed=5), resume=True, monitor=Remembers())
    assert {**first.steps, **second.steps} == whole[1].steps
    assert second.epochs[1] == whole[1].epochs[1]
    assert len(second.steps) < len(STEPS)
    assert same_weights(model, whole[0])
    assert same_weights(checkpoint.load(output), whole[0])


def test_a_validation_that_draws_changes_nothing(whole, tmp_path):
    model, heard = run_training(tmp_path / "a.pt", validation=score)
    assert heard.steps == whole[1].steps
    assert same_weights(model, whole[0])


def test_adamw_in_bfloat16_resumes_too(tmp_path):
    settings = replace(SETTINGS, optimiser="adamw", precision="bfloat16", warmup=0.3)
    model, heard = run_training(tmp_path / "whole.pt", settings=settings)
    with pytest.raises(ZeroDivisionError):
        run_training(tmp_path / "a.pt", settings=settings, monitor=StopsAt((1, 1), fault), **EVERY_STEP)
    resumed, rest = run_training(tmp_path / "a.pt", settings=settings, resume=True)
    assert rest.steps == {place: terms for place, terms in heard.steps.items() if place >= (1, 1)}
    assert same_weights(resumed, model)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    def twice():
        ctrl_c()
        ctrl_c()

    first = StopsAt((0, 1), twice)
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "a.pt", monitor=first)
    assert list(first.steps) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("name", ["a.pt.state", "a.pt"])
def test_a_kill_before_the_rename_loses_no_more_than_the_last_state(whole, tmp_path, monkeypatch, name):
    """The file that was there stays; `Path.replace` never runs, and its partial file is left as a kill leaves it."""
    output, real, seen = tmp_path / "a.pt", Path.replace, []

    def replace_or_die(self, target):
        seen.append(Path(target).name)
        if seen.count(name) == (4 if name.endswith("state") else 2) and Path(target).name == name:
            raise ZeroDivisionError
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    first = Remembers()
    with pytest.raises(ZeroDivisionError):
        run_training(output, monitor=first, **EVERY_STEP)
    monkeypatch.undo()
    assert (tmp_path / f"{name}.partial").exists()
    model, second = run_training(output, resume=True)
    assert {**first.steps, **second.steps} == whole[1].steps
    assert same_weights(model, whole[0])
    assert not list(tmp_path.glob("*.partial"))


SCRIPT = """
import sys
from pathlib import Path
import torch
from run_makers import EVERY_STEP, Remembers, run_training

class Tells(Remembers):
    def step(self, epoch, step, steps, terms):
        print(epoch, step, flush=True)

torch.set_num_threads(int(sys.argv[2]))
run_training(Path(sys.argv[1]), monitor=Tells(), **EVERY_STEP)
"""


def test_sigkill_in_the_middle_of_a_run(whole, tmp_path):
    output = tmp_path / "a.safetensors"
    here = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(here)}
    command = [sys.executable, "-c", SCRIPT, str(output), str(torch.get_num_threads())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if line.split() == ["1", "0"]:
                time.sleep(0.05)  # somewhere in the next step, or in writing the state of this one
                running.kill()
        assert running.wait() == -signal.SIGKILL
    model, rest = run_training(output, resume=True)
    assert rest.steps
    assert all(whole[1].steps[place] == terms for place, terms in rest.steps.items())
    assert same_weights(model, whole[0])


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that stopped in its second epoch."""
    output = tmp_path_factory.mktemp("stopped") / "a.pt"
    with pytest.raises(ZeroDivisionError):
        run_training(output, monitor=StopsAt((1, 1), fault), data="clips 1", **EVERY_STEP)
    return output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"settings": replace(SETTINGS, epochs=3, seed=4)},
            ["training epochs was 2, now 3", "training seed was 0, now 4"],
        ),
        ({"settings": replace(SETTINGS, rates=replace(SETTINGS.rates, local=1.0))}, ["rates local was 0.002, now 1.0"]),
        ({"data": "clips 2"}, ["the data are others"]),
        ({"source": RandomSource(4)}, ["batches was 3, now 4"]),
        ({"model": small_model(dropout=0.5)}, ["network dropout was 0.2, now 0.5"]),
    ],
    ids=["settings", "rates", "data", "batches", "network"],
)
def test_another_run_is_not_resumed_and_the_difference_is_named(stopped, changes, said):
    before = state_path(stopped).read_bytes()
    with pytest.raises(DataError) as error:
        run_training(stopped, **{"resume": True, "data": "clips 1", **changes})
    for text in said:
        assert text in str(error.value)
    assert state_path(stopped).read_bytes() == before


def test_nothing_is_overwritten_without_resume(stopped):
    before = {path.name: path.read_bytes() for path in stopped.parent.iterdir()}
    with pytest.raises(DataError, match="go on with --resume, or give another name"):
        run_training(stopped)
    assert {path.name: path.read_bytes() for path in stopped.parent.iterdir()} == before


def test_a_damaged_state_is_one_line(stopped, tmp_path):
    output = tmp_path / "a.pt"
    data = state_path(stopped).read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"PK\x03\x04" + b"x" * 100, b"hello"):
        state_path(output).write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot resume from .* delete it to train anew"):
            run_training(output, resume=True)


def test_resume_begins_where_nothing_was_written_and_needs_the_state_where_something_was(tmp_path):
    output = tmp_path / "a.pt"
    settings = replace(SETTINGS, epochs=1)
    _, heard = run_training(output, settings=settings, resume=True)
    assert list(heard.steps) == STEPS[:3]
    state_path(output).unlink()
    with pytest.raises(DataError, match=r"no a\.pt\.state to resume from"):
        run_training(output, settings=settings, resume=True)


def test_resuming_a_finished_run_does_nothing(tmp_path):
    output = tmp_path / "a.pt"
    settings = replace(SETTINGS, epochs=1)
    model, _ = run_training(output, settings=settings, validation=score)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"a.pt", "a.pt.state", best_path(output).name}
    again, heard = run_training(output, settings=settings, validation=score, resume=True)
    assert not heard.steps
    assert same_weights(model, again)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
