"""`train`: what is wrong is found before the first step; what is done is said in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avgn_edge.errors import DataError
from avgn_edge.printable import printable
from avgn_edge.terminal import lines
from avgn_edge.terminal.extras import require
from avgn_edge.terminal.progress import Bar
from avgn_edge.terminal.tables import counted

if TYPE_CHECKING:
    import torch

    from avgn_edge.datasets import DataSet, Task
    from avgn_edge.training.assemble import Begun, TrainOptions, Validator
    from avgn_edge.training.distributed import World
    from avgn_edge.training.monitor import Monitor

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
    from avgn_edge.training import assemble  # noqa: PLC0415 - imports PyTorch
    from avgn_edge.training.clip_loader import worker_deaths  # noqa: PLC0415
    from avgn_edge.training.distributed import World  # noqa: PLC0415
    from avgn_edge.training.run import check_output, state_path, train  # noqa: PLC0415

    found = check_output(output, resume=resume)
    world = World.from_environment()
    device = assemble.choose_device(device_name, world)
    workers = _workers(data.workers, world)
    with world.joined(device):
        clips, held_out = world.from_first(lambda: _read(data, asked.seed, workers))
        begun = assemble.make_model(asked, assemble.choose_settings(asked, device), clips)
        source = assemble.training_source(clips, asked, device, world, workers, lines.warning)
        validation = None if held_out is None else assemble.Validator(held_out, asked.batch, workers, device)
        if world.first:
            facts = Facts(begun, asked, clips, validation, source.batches, device, world)
            for line in facts.lines():
                lines.note(line)
            if resume:
                lines.note(f"resuming from {state_path(output)}" if found else "nothing to resume from: a new run")
        with _monitored(output, begun, world, as_json=as_json) as monitor, worker_deaths():
            try:
                train(
                    begun.model,
                    source,
                    begun.settings,
                    validation=validation,
                    output=output,
                    resume=resume,
                    monitor=monitor,
                    device=device,
                    data=assemble.fingerprint(clips, asked),
                    world=world,
                )
            except KeyboardInterrupt:
                if world.first and state_path(output).exists():
                    lines.note(f"{state_path(output)}: go on with the same command and --resume")
                raise
        if world.first and not as_json:
            _tell_result(output)


def _workers(asked: int | None, world: World) -> int:
    from avgn_edge.cores import usable_cores  # noqa: PLC0415

    return asked if asked is not None else min(MOST_WORKERS, max(1, usable_cores() // world.local_size - 1))


def _read(data: Data, seed: int, workers: int) -> tuple[DataSet, DataSet | None]:
    """Return the clips to train on and those held out, all of which can be read, and warn about the others."""
    from avgn_edge.datasets import read_dataset  # noqa: PLC0415
    from avgn_edge.datasets.checking import check  # noqa: PLC0415

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
        lines.warning(text)
    findings.require()
    blind = frozenset(findings.without_video)
    usable = replace(findings.usable, clips=tuple(clip for clip in findings.usable.clips if clip.name not in blind))
    if data.val_fraction > 0:
        return usable.train_and_val(data.val_fraction, seed)
    return (usable.part("train") if any(clip.split for clip in usable.clips) else usable), None


@dataclass(frozen=True)
class Facts:
    """What is about to be done."""

    begun: Begun
    asked: TrainOptions
    clips: DataSet
    validation: Validator | None
    steps: int
    device: torch.device
    world: World

    def lines(self) -> Iterator[str]:
        """Say it in a line each: data, network, training, curves."""
        from avgn_edge.training.monitor import has_tensorboard  # noqa: PLC0415 - imports PyTorch

        begun, settings = self.begun, self.begun.settings
        held_out = len(self.validation.data.clips) if self.validation is not None else "none"
        clips, classes = counted(len(self.clips.clips), "clip"), counted(len(self.clips.labels), "class", "classes")
        yield f"data: {clips} to train on, {held_out} held out; {classes}, {self.clips.task}"
        parameters = sum(value.numel() for value in begun.model.parameters())
        origin = f"from {self.asked.init}" if self.asked.init is not None else self.asked.preset or "small"
        parts = [f"network: {origin}, {parameters / 1e6:.2f} M parameters"]
        if settings.frozen:
            parts.append(f"{', '.join(settings.frozen)} frozen")
        if begun.new_labels is not None:
            parts.append(
                f"labels new to it: {_some(begun.new_labels)}" if begun.new_labels else "all labels known to it"
            )
        yield "; ".join(parts)
        where = f"{self.world.size} processes, the first on {self.device}" if self.world.size > 1 else str(self.device)
        steps = counted(self.steps, "step")
        batch = f"{settings.batch} clips" + (" on each" if self.world.size > 1 else "")
        yield (
            f"training: {counted(settings.epochs, 'epoch')} of {steps} of {batch}, {settings.optimiser}, "
            f"{settings.precision}; {where}"
        )
        yield "curves: " + (
            "in a folder beside the checkpoint" if has_tensorboard() else "none, TensorBoard is not installed"
        )
        if self.validation is not None and self.clips.task == "multi-label" and not self.validation.precise:
            yield "validation: top-1 only; mAP needs scikit-learn (pip install 'avgn-edge[evaluate]')"


@contextmanager
def _monitored(output: Path, begun: Begun, world: World, *, as_json: bool) -> Iterator[Monitor]:
    from avgn_edge.terminal.training_monitor import TrainingMonitor  # noqa: PLC0415
    from avgn_edge.training.monitor import Several, Silent, TensorBoardMonitor, has_tensorboard  # noqa: PLC0415

    if not world.first:
        yield Silent()
        return
    epochs, losses = begun.settings.epochs, begun.settings.losses
    curves = [TensorBoardMonitor(output.with_name(f"{output.name}.log"))] if has_tensorboard() else []
    with TrainingMonitor(epochs, losses, output, as_json=as_json) as shown:
        yield Several([shown, *curves])


def _tell_result(output: Path) -> None:
    from avgn_edge.terminal.export import quoted  # noqa: PLC0415
    from avgn_edge.training.run import best_path  # noqa: PLC0415

    lines.data(printable(str(output)))
    best = best_path(output)
    if best.exists():
        lines.data(f"best on held-out clips: {printable(str(best))}")
    lines.data(f"next: avgn-edge export {printable(quoted(str(output)))}")


def _some(names: tuple[str, ...]) -> str:
    few = ", ".join(names[:5])
    return f"{few} and {len(names) - 5} more" if len(names) > 5 else few
