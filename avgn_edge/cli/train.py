"""`train`: what is wrong is found before the first step; what is done is said in a few lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

from avgn_edge._base.errors import DataError
from avgn_edge._base.text import printable
from avgn_edge.bundle.architecture import architecture, load
from avgn_edge.cli import console
from avgn_edge.cli.extras import require
from avgn_edge.cli.formatting import counted
from avgn_edge.cli.progress import Bar, Beat, on_terminal, pace
from avgn_edge.training.monitor import Monitor, Several, TensorBoardMonitor, has_tensorboard

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from typing_extensions import Self

    from avgn_edge.data.datasets import DataSet, Task
    from avgn_edge.training.clip_source import TrainingClips
    from avgn_edge.training.distributed import World
    from avgn_edge.training.stages import Recipe, Stage
    from avgn_edge.training.train_options import TrainOptions


SYMBOLS = {
    "classification": "L_p",
    "visual": "L_V",
    "audio": "L_A",
    "saliency": "L_s",
    "mask": "L_mask",
    "ordered": "L_ord",
    "random_crop": "L_crop",
    "guidance": "L_π",
}
"""The paper's names of the loss terms; the last two are AdaFocusV2's and ours."""
SHARES = {"top1": "top-1", "mAP": "mAP"}


class TrainingMonitor(Monitor):
    """Shows each epoch as a line on stderr or, `as_json`, an object on stdout; a context manager.

    The one under way has a bar on a terminal, and a line every half minute elsewhere.
    """

    def __init__(self, epochs: int, checkpoint: Path, *, as_json: bool) -> None:
        self._epochs = epochs
        self._weights: Mapping[str, float] = {}
        self._checkpoint = checkpoint
        self._as_json = as_json
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._beat: Beat | None = None if on_terminal() else Beat(self._line)
        self._sums: dict[str, float] = {}
        self._seen = 0
        self._taken = self._left = 0
        self._shown = "training: the first step"
        self._started = self._began = monotonic()

    def __enter__(self) -> Self:
        if self._beat is not None:
            self._beat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_bar_away()
        if self._beat is not None:
            self._beat.__exit__(kind, error, trace)

    def stage(self, stage: Stage, _first_epoch: int, _first_step: int) -> None:
        """Weigh the loss terms as the stage does."""
        self._weights = stage.objective.weights

    def step(self, epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:
        """Move the bar, or remember what the next line says; the means since the epoch, or this run, began."""
        self._seen += 1
        self._taken += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        means = {name: value / self._seen for name, value in self._sums.items()}
        which = f"epoch {epoch + 1}/{self._epochs}"
        if self._beat is not None:
            self._left = (self._epochs - epoch) * steps - step - 1
            now = f"step {step + 1} of {steps}" if step + 1 < steps else "held-out clips"
            self._shown = f"{which}: {now}, loss {self._total(means):.3f}"
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task(which, total=steps, completed=step, shown="")
            self._bar.start()
        what = which if step + 1 < steps else "held-out clips"
        if self._task is not None:
            self._bar.update(self._task, completed=step + 1, description=what, shown=_terms(means))

    def epoch_done(self, epoch: int, means: Mapping[str, float], validation: Mapping[str, float]) -> None:
        """Tell of an epoch."""
        self._take_bar_away()
        self._sums, self._seen = {}, 0
        seconds, self._began = monotonic() - self._began, monotonic()
        total = self._total(means)
        if self._as_json:
            console.json_line(
                {
                    "epoch": epoch + 1,
                    "epochs": self._epochs,
                    "loss": total,
                    "terms": dict(means),
                    "validation": dict(validation),
                    "seconds": round(seconds, 3),
                    "checkpoint": str(self._checkpoint),
                }
            )
            return
        scores = "".join(f", {SHARES.get(name, name)} {100 * value:.1f}" for name, value in validation.items())
        console.note(f"epoch {epoch + 1}/{self._epochs}: loss {total:.3f} ({_terms(means)}){scores}, {seconds:.0f} s")

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        # Not through sys.stderr: the signal may have come while it was writing.
        os.write(2, b"\nstopping after this step; Ctrl-C again ends at once, and loses what is not saved\n")

    def _total(self, terms: Mapping[str, float]) -> float:
        return float(sum(self._weights[name] * value for name, value in terms.items()))

    def _line(self) -> str:
        return f"{self._shown}, {pace(self._taken, self._left, monotonic() - self._started)}"

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _terms(values: Mapping[str, float]) -> str:
    return " ".join(f"{SYMBOLS.get(name, name)} {value:.3f}" for name, value in values.items())


def _bar() -> Progress:
    from rich import progress as bars  # noqa: PLC0415 - 0.1 s that a pipe need not wait for
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=16),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[shown]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=Console(stderr=True),
        expand=True,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


CLIPS_A_WORKER = 64
"""Starting a process that opens clips takes about as long as opening so many."""
MOST_WORKERS = 8


@dataclass(frozen=True)
class Data:
    """Which clips, and how they are read."""

    source: Path
    videos: Path | None = None
    val_fraction: float = 0.1
    task: Literal["auto"] | Task = "auto"
    workers: int | None = None


def check_extra() -> None:
    """Say in one line which package is missing."""
    require("train", ("torch", "safetensors"))


def run_training(
    data: Data, asked: TrainOptions, output: Path, device_name: str, *, resume: bool, as_json: bool
) -> None:
    """Read the data, say what will be done, and do it."""
    from avgn_edge.training.clip_loader import worker_deaths  # noqa: PLC0415 - imports PyTorch
    from avgn_edge.training.clip_source import TrainingClips  # noqa: PLC0415
    from avgn_edge.training.distributed import World  # noqa: PLC0415
    from avgn_edge.training.run import check_output, state_path, train  # noqa: PLC0415
    from avgn_edge.training.train_options import choose_device  # noqa: PLC0415

    found = check_output(output, resume=resume)
    world = World.from_environment()
    device = choose_device(device_name, world)
    workers = _workers(data.workers, world)
    with world.joined(device):
        usable, held_out = world.from_first(lambda: _read(data, asked.seed, workers))
        clips = TrainingClips(usable, held_out, asked, device, world, workers, console.warning)
        recipe: Recipe = load(architecture("avgn").training)(asked, clips)
        if world.first:
            for line in _facts(recipe, clips):
                console.note(line)
            if resume:
                console.note(f"resuming from {state_path(output)}" if found else "nothing to resume from: a new run")
        with _monitored(output, recipe, world, as_json=as_json) as monitor, worker_deaths():
            try:
                train(recipe, output, resume=resume, monitor=monitor, device=device, world=world)
            except KeyboardInterrupt:
                if world.first and state_path(output).exists():
                    console.note(f"{state_path(output)}: go on with the same command and --resume")
                raise
        if world.first and not as_json:
            _tell_result(output)


def _workers(asked: int | None, world: World) -> int:
    from avgn_edge._base.processes import usable_cores  # noqa: PLC0415

    return asked if asked is not None else min(MOST_WORKERS, max(1, usable_cores() // world.local_size - 1))


def _read(data: Data, seed: int, workers: int) -> tuple[DataSet, DataSet | None]:
    """Return the clips to train on and those held out, all of which can be read, and warn about the others."""
    from avgn_edge.data.datasets import read_dataset  # noqa: PLC0415
    from avgn_edge.data.datasets.checking import check  # noqa: PLC0415

    whole = read_dataset(data.source, data.videos)
    if data.task != "auto":
        whole = replace(whole, task=data.task)
    several = next((clip.name for clip in whole.clips if len(clip.labels) > 1), None)
    if whole.task == "single-label" and several is not None:
        raise DataError("--task single-label", f"clip {several} has several labels", "train with multi-label")
    wanted = tuple(clip for clip in whole.clips if clip.split in {None, "train", "val"})
    whole = replace(whole, clips=wanted or whole.clips)  # clips of other splits need not be opened
    with Bar("opening clips", len(whole.clips)) as bar:
        processes = min(workers, len(whole.clips) // CLIPS_A_WORKER + 1)
        findings = check(whole, processes, lambda done, _: bar.show(done))
    for text in findings.warnings():
        console.warning(text)
    findings.require()
    blind = frozenset(findings.without_video)
    usable = replace(findings.usable, clips=tuple(clip for clip in findings.usable.clips if clip.name not in blind))
    if data.val_fraction > 0:
        return usable.train_and_val(data.val_fraction, seed)
    return (usable.part("train") if any(clip.split for clip in usable.clips) else usable), None


def _facts(recipe: Recipe, clips: TrainingClips) -> Iterator[str]:
    """Say what is about to be done in a line each: data, network, stages, curves."""
    from avgn_edge.training.clip_source import can_rank  # noqa: PLC0415 - imports PyTorch

    asked, world, data = clips.asked, clips.world, clips.data
    held_out = len(clips.held_out.clips) if clips.held_out is not None else "none"
    count, classes = counted(len(data.clips), "clip"), counted(len(data.labels), "class", "classes")
    yield f"data: {count} to train on, {held_out} held out; {classes}, {data.task}"
    parameters = sum(value.numel() for value in recipe.model.parameters())
    origin = f"from {asked.init}" if asked.init is not None else asked.preset or "small"
    yield "; ".join([f"network: {origin}, {parameters / 1e6:.2f} M parameters", *recipe.notes])
    where = f"{world.size} processes, the first on {clips.device}" if world.size > 1 else str(clips.device)
    batch = f"{asked.batch} clips" + (" on each" if world.size > 1 else "")
    for stage in recipe.stages:
        steps = counted(stage.source.batches, "step")
        yield (
            f"{stage.name}: {counted(stage.epochs, 'epoch')} of {steps} of {batch}, {stage.optimisation.optimiser}, "
            f"{asked.precision_on(clips.device)}; {where}"
        )
    yield "curves: " + (
        "in a folder beside the checkpoint" if has_tensorboard() else "none, TensorBoard is not installed"
    )
    if clips.held_out is not None and data.task == "multi-label" and not can_rank():
        yield "validation: top-1 only; mAP needs scikit-learn (pip install 'avgn-edge[evaluate]')"


@contextmanager
def _monitored(output: Path, recipe: Recipe, world: World, *, as_json: bool) -> Iterator[Monitor]:
    if not world.first:
        yield Monitor()
        return
    epochs = sum(stage.epochs for stage in recipe.stages)
    curves = [TensorBoardMonitor(output.with_name(f"{output.name}.log"))] if has_tensorboard() else []
    with TrainingMonitor(epochs, output, as_json=as_json) as shown:
        yield Several([shown, *curves])


def _tell_result(output: Path) -> None:
    from avgn_edge.cli.export import quoted  # noqa: PLC0415
    from avgn_edge.training.run import best_path  # noqa: PLC0415

    console.data(printable(str(output)))
    best = best_path(output)
    if best.exists():
        console.data(f"best on held-out clips: {printable(str(best))}")
    console.data(f"next: avgn-edge export {printable(quoted(str(output)))}")
