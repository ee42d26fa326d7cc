"""`train`: what is wrong is found before the first step; what is done is said in a few lines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from avgn_edge._base.errors import DataError
from avgn_edge._base.processes import usable_cores
from avgn_edge._base.text import Task, printable
from avgn_edge.bundle.architecture import architecture, load
from avgn_edge.cli import console
from avgn_edge.cli.formatting import counted
from avgn_edge.cli.progress import Bar, Display, pace, rich_bar
from avgn_edge.cli.shared import AsJson, require_extra
from avgn_edge.data.datasets import DataSet, check, read_dataset
from avgn_edge.training.monitor import Monitor, Several, TensorBoardMonitor, has_tensorboard

if TYPE_CHECKING:
    from rich.progress import Progress

    from avgn_edge.training.clip_source import TrainingClips
    from avgn_edge.training.distributed import World
    from avgn_edge.training.stages import Recipe, Stage
    from avgn_edge.training.train_options import TrainOptions


class Preset(str, Enum):
    """Which network."""

    SMALL = "small"
    PAPER = "paper"


class TaskChoice(str, Enum):
    """One label a clip, or several."""

    AUTO = "auto"
    SINGLE = "single-label"
    MULTI = "multi-label"


class Precision(str, Enum):
    """What training computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class LookFrom(str, Enum):
    """What patches are cut from."""

    GLANCE = "glance"
    SOURCE = "source"


class Optimiser(str, Enum):
    """What takes the steps."""

    SGD = "sgd"
    ADAMW = "adamw"


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


def command(
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="A folder a class, a CSV of path,label[,start,end,split], or a JSON.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CHECKPOINT", help="The file to write.")],
    preset: Annotated[
        Preset | None, typer.Option(help="The network: the paper's, or a small one for edges. [default: small]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command stopped; begin where it never began.")
    ] = False,
    audio_encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="f_A: mobilenet_v2, or mn04 with its AudioSet weights.")
    ] = None,
    glance_encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="f_G: mobilenet_v2, or efficientnet_lite0 with ImageNet weights.")
    ] = None,
    look_encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="f_L: mobilenet_v2, resnet50 or efficientnet_lite0.")
    ] = None,
    look_from: Annotated[
        LookFrom | None,
        typer.Option(help="Patches from what the glance saw, or with the source's own pixels. [default: glance]"),
    ] = None,
    imagenet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="torchvision's MobileNetV2 weights, for the glance.")
    ] = None,
    imagenet_local: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same for patches; preset paper takes ResNet-50's.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINT", help="Fine-tune it; heads of labels it knows are kept.")
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over the data.")] = 50,
    batch: Annotated[int, typer.Option(metavar="N", min=2, help="Clips a step, on each GPU.")] = 24,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda[:N].")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto is bfloat16 on GPUs that have it, else float32.")
    ] = Precision.AUTO,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes that decode. [default: cores - 1, at most 8]")
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(metavar="F", min=0, max=0.9, help="Held out where the data have no val split.")
    ] = 0.1,
    videos: Annotated[Path | None, typer.Option(metavar="DIR", help="The videos of an ActivityNet JSON.")] = None,
    task: Annotated[
        TaskChoice, typer.Option(help="auto is multi-label where a clip has several labels.")
    ] = TaskChoice.AUTO,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of weights, order, moments and augmentation.")] = 0,
    optimiser: Annotated[Optimiser, typer.Option(help="The paper's SGD, or AdamW for short runs.")] = (Optimiser.SGD),
    lr_scale: Annotated[float, typer.Option(metavar="X", help="Multiplies all learning rates.")] = 1.0,
    looks: Annotated[
        int | None, typer.Option(metavar="N", min=2, max=16, help="Patches a clip in a step, for speed. [default: 16]")
    ] = None,
    no_flip: Annotated[
        bool, typer.Option("--no-flip", help="Never mirror clips: for digits, text, left and right.")
    ] = False,
    freeze: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Keep a module as it is; may be given several times.")
    ] = None,
    guidance: Annotated[float, typer.Option(metavar="W", min=0, help="Weight of our hint for the patch policy.")] = 0.0,
    random_crop: Annotated[
        float, typer.Option(metavar="W", min=0, help="Weight of AdaFocusV2's second, random patch.")
    ] = 0.0,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="An ablation: audio, av-test, aespa, fusion, policy, L_V, L_A, L_s, L_mask, L_ord, L_p; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network on labelled clips, with all of the paper's losses.

    Ctrl-C stops after the step under way; the same command with --resume goes on as if it had not. For several GPUs:
    torchrun --nproc-per-node N -m avgn_edge train ...
    """
    require_extra("train", ("torch", "safetensors"))
    from avgn_edge.training.train_options import TrainOptions  # noqa: PLC0415 - PyTorch

    options = TrainOptions(
        preset=None if preset is None else preset.value,
        epochs=epochs,
        batch=batch,
        seed=seed,
        optimiser=optimiser.value,
        lr_scale=lr_scale,
        precision=None if precision is Precision.AUTO else precision.value,
        looks=looks,
        guidance=guidance,
        random_crop=random_crop,
        flip=not no_flip,
        without=tuple(without or ()),
        freeze=tuple(freeze or ()),
        audio_encoder=audio_encoder,
        glance_encoder=glance_encoder,
        look_encoder=look_encoder,
        look_from=None if look_from is None else look_from.value,
        imagenet=imagenet,
        imagenet_local=imagenet_local,
        init=init,
    )
    clips = ClipOptions(data, videos, val_fraction, task.value, workers)
    run_training(clips, options, output, device, resume=resume, as_json=as_json)


class TrainingMonitor(Display, Monitor):
    """Shows each epoch as a line on stderr or, `as_json`, an object on stdout.

    The one under way has a bar on a terminal, and a line every half minute elsewhere.
    """

    def __init__(self, epochs: int, checkpoint: Path, *, as_json: bool) -> None:
        super().__init__(self._line)
        self._epochs = epochs
        self._weights: Mapping[str, float] = {}
        self._checkpoint = checkpoint
        self._as_json = as_json
        self._sums: dict[str, float] = {}
        self._seen = 0
        self._taken = self._left = 0
        self._shown = "training: the first step"
        self._started = self._began = monotonic()

    def stage(self, stage: Stage, _first_epoch: int, _first_step: int) -> None:
        """Weigh the loss terms as the stage does."""
        self._weights = stage.objective.weights

    def step(self, epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:
        """Move the bar, or keep what the next line says: the means since the epoch, or this run, began."""
        self._seen += 1
        self._taken += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        means = {name: value / self._seen for name, value in self._sums.items()}
        which = f"epoch {epoch + 1}/{self._epochs}"
        if not self.on_terminal:
            self._left = (self._epochs - epoch) * steps - step - 1
            now = f"step {step + 1} of {steps}" if step + 1 < steps else "held-out clips"
            self._shown = f"{which}: {now}, loss {self._total(means):.3f}"
            return
        if self._bar is None:
            self._bar = _epoch_bar()
            self._task = self._bar.add_task(which, total=steps, completed=step, shown="")
            self._bar.start()
        what = which if step + 1 < steps else "held-out clips"
        if self._task is not None:
            self._bar.update(self._task, completed=step + 1, description=what, shown=_terms(means))

    def epoch_done(self, epoch: int, means: Mapping[str, float], validation: Mapping[str, float]) -> None:
        """Write the line or the object of an epoch."""
        self.take_bar_away()
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


def _terms(values: Mapping[str, float]) -> str:
    return " ".join(f"{SYMBOLS.get(name, name)} {value:.3f}" for name, value in values.items())


def _epoch_bar() -> Progress:
    from rich import progress, table  # noqa: PLC0415 - 0.1 s that a pipe need not wait for

    terms = table.Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return rich_bar(
        progress.BarColumn(bar_width=16),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[shown]}", table_column=terms),
        expand=True,
    )


CLIPS_A_WORKER = 64
"""Starting a process that opens clips takes about as long as opening so many."""
MOST_WORKERS = 8


@dataclass(frozen=True)
class ClipOptions:
    """Which clips to train on, and how they are read."""

    source: Path
    videos: Path | None
    val_fraction: float
    task: Literal["auto"] | Task
    workers: int | None


def run_training(
    data: ClipOptions, options: TrainOptions, output: Path, device_name: str, *, resume: bool, as_json: bool
) -> None:
    """Read the clips, say what will be done, and train.

    Args:
        data: which clips.
        options: what to train, and how.
        output: the checkpoint's file.
        device_name: what --device says.
        resume: go on where an earlier run stopped.
        as_json: an object an epoch on stdout, and nothing else there.
    """
    from avgn_edge.training import clip_loader, distributed, run  # noqa: PLC0415 - PyTorch
    from avgn_edge.training.clip_source import TrainingClips  # noqa: PLC0415
    from avgn_edge.training.train_options import choose_device  # noqa: PLC0415

    begun_before = run.check_output(output, resume=resume)
    state = run.state_path(output)
    world = distributed.World.from_environment()
    device = choose_device(device_name, world)
    workers = data.workers
    if workers is None:
        workers = min(MOST_WORKERS, max(1, usable_cores() // world.local_size - 1))
    with world.joined(device):
        usable, held_out = world.from_first(lambda: _read(data, options.seed, workers))
        clips = TrainingClips(usable, held_out, options, device, world, workers, console.warning)
        recipe: Recipe = load(architecture("avgn").training)(options, clips)
        if world.first:
            for line in _plan(recipe, clips):
                console.note(line)
            if resume:
                console.note(f"resuming from {state}" if begun_before else "nothing to resume from: a new run")
        with _monitored(output, recipe, world, as_json=as_json) as monitor, clip_loader.worker_deaths():
            try:
                run.train(recipe, output, resume=resume, monitor=monitor, device=device, world=world)
            except KeyboardInterrupt:
                if world.first and state.exists():
                    console.note(f"{state}: go on with the same command and --resume")
                raise
        if world.first and not as_json:
            console.data(printable(str(output)))
            best = run.best_path(output)
            if best.exists():
                console.data(f"best on held-out clips: {printable(str(best))}")
            console.data(f"next: avgn-edge export {printable(shlex.quote(str(output)))}")


def _read(data: ClipOptions, seed: int, workers: int) -> tuple[DataSet, DataSet | None]:
    """Return the clips to train on and those held out, all of which can be read, and warn about the others."""
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


def _plan(recipe: Recipe, clips: TrainingClips) -> Iterator[str]:
    """Describe what is about to be done, in a line each: data, network, stages, curves."""
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
