"""What an interrupted run goes on from: one file beside the checkpoint, there as a whole or not at all.

No state of a random generator is in it: every step draws from a generator that is seeded with the number of the step
(`run.seed_step`), so that nothing that draws in between - a validation, a loader - can make a resumed run another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avgn_edge._base.atomic import atomic_write
from avgn_edge._base.errors import DataError
from avgn_edge.training.stages import Recipe

FORMAT = "avgn-edge training state 2"


@dataclass
class Progress:
    """How far a run has come."""

    stage: int = 0
    """The stage under way."""
    epoch: int = 0
    """Epochs of the stage that are done."""
    step: int = 0
    """Steps of the epoch under way that are done."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums over those steps of each loss term."""
    best: float | None = None
    """The best validation so far."""

    def add(self, terms: Mapping[str, float]) -> None:
        """Count one step."""
        self.step += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """Of the loss terms of the epoch under way."""
        return {name: value / self.step for name, value in self.sums.items()}

    def next_epoch(self) -> None:
        """Finish the epoch under way."""
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}

    def next_stage(self) -> None:
        """Finish the stage under way."""
        self.stage, self.epoch = self.stage + 1, 0


class StateFile:
    """Reads and writes everything that changes in training."""

    def __init__(self, path: Path, recipe: Recipe, processes: int) -> None:
        self._path = path
        self._model = recipe.model
        batches = [stage.source.batches for stage in recipe.stages]
        facts = {"batches": batches[0] if len(batches) == 1 else batches, "processes": processes}
        self._identity = json.dumps({**recipe.identity, **facts})
        self._read: dict[str, Any] = {}

    def save(self, progress: Progress, optimiser: Optimizer, schedule: LambdaLR) -> None:
        """Write; a kill at any moment leaves the last state or this one."""
        content = {
            "format": FORMAT,
            "identity": self._identity,
            "progress": asdict(progress),
            "model": self._model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
        }
        with atomic_write(self._path, durable=True, alone=True) as partial, partial.open("wb") as file:
            torch.save(content, file)

    def load(self) -> Progress:
        """Bring the network to where the run stopped; `restore` does so with the optimiser of the stage under way.

        Raises:
            DataError: the file is another run's, or damaged, or of another version.
        """
        what = f"cannot resume from {self._path}"
        anew = "delete it to train anew"
        try:
            content: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
            known, there = content["format"] == FORMAT, json.loads(content["identity"])
        except Exception as error:  # a damaged pickle raises what it likes
            raise DataError(what, f"it cannot be read ({type(error).__name__})", anew) from error
        if not known:
            raise DataError(what, f"it is not {FORMAT!r}", anew)
        differing = list(_differences(there, json.loads(self._identity)))
        if differing:
            shown = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
            raise DataError(what, f"this run is another one: {shown}", f"repeat the options of that run, or {anew}")
        self._model.load_state_dict(content["model"])
        self._read = content
        return Progress(**content["progress"])

    def restore(self, optimiser: Optimizer, schedule: LambdaLR) -> None:
        """Bring them to where the run stopped, if `load` was called; once, as the next stage begins with its own."""
        if self._read:
            optimiser.load_state_dict(self._read["optimiser"])
            schedule.load_state_dict(self._read["schedule"])
            self._read = {}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name in sorted({*there, *here}):
        before, now = there.get(name), here.get(name)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now, f"{within}{name} ")
        elif name == "data":
            yield "the data are others"
        else:
            yield f"{within}{name} was {_short(before)}, now {_short(now)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
