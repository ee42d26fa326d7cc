"""The command line: one thin function a command; `main` turns what they raise into one line and an exit code."""

# ruff: noqa: PLC0415 - a command imports what it needs: `--version` and a wrong option should not wait for NumPy

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import avgn_edge
from avgn_edge._base.errors import AvgnEdgeError, DataError
from avgn_edge.cli import console
from avgn_edge.cli.console import Interruptible

if TYPE_CHECKING:
    from avgn_edge.data.evaluation.row import Details, Row


FAILED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

# typer carries a copy of click, or imports it, depending on its version: the base of what both raise is found here.
_ClickError = cast("type[Exception]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="avgn-edge",
    help="Audio-visual video recognition that stays inside the compute it was given.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class SamplingName(str, Enum):
    """Where in its sixteenth of the clip a moment's frame is taken."""

    CHEAP = "cheap"
    CENTRE = "centre"


class PresetName(str, Enum):
    """Which network."""

    SMALL = "small"
    PAPER = "paper"


class TaskName(str, Enum):
    """One label a clip, or several."""

    AUTO = "auto"
    SINGLE = "single-label"
    MULTI = "multi-label"


class TrainingPrecision(str, Enum):
    """What training computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class OptimiserName(str, Enum):
    """What takes the steps."""

    SGD = "sgd"
    ADAMW = "adamw"


_Videos = Annotated[
    Path | None, typer.Option("--videos", metavar="DIR", help="Where the videos of ActivityNet's JSON are.")
]
_Split = Annotated[str | None, typer.Option("--split", metavar="NAME", help="The part of the clips.")]
_Threads = Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads.")]
_MaxLoss = Annotated[
    float, typer.Option("--max-loss", metavar="POINTS", help="Of top-1 that another precision may lose.")
]
_Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else.")]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[  # noqa: ARG001 - here to be listed; `main` reads it, wherever it stands
        bool, typer.Option("--debug", help="Show the traceback of an error; goes anywhere on the line.")
    ] = False,
) -> None:
    """Run before every command."""
    if version:
        console.data(f"avgn-edge {avgn_edge.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.data(context.get_help())


@app.command()
def classify(
    context: typer.Context,
    clips: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP", help="Video or sound files, folders of them, patterns, or - for a list on standard input."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="BUNDLE", help="A bundle's folder. [default: the packaged one]"),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", "-b", metavar="B", help="For each clip: 6gflops, 250mflops, 80ms, 1.5s or none.")
    ] = "none",
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Classes to list. [default: 1, with --json 5]")
    ] = None,
    device: Annotated[
        str,
        typer.Option("--device", metavar="D", help="auto, cpu, cuda[:N], tensorrt[:N], openvino[:CPU|GPU|NPU|AUTO]."),
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="auto, fp32, fp16, int8.")] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="CPU threads, of all jobs. [default: all usable cores]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            max=256,
            help="Processes, which share the threads. [default: one a core for many clips, 1 with a budget of time]",
        ),
    ] = None,
    sampling: Annotated[
        SamplingName,
        typer.Option(help="Frames from key frames nearby, or from the centre of each sixteenth of the clip."),
    ] = SamplingName.CHEAP,
    exit_risk: Annotated[
        float | None,
        typer.Option(
            "--exit-risk", metavar="R", help="Stop early where that changes the answer in at most this share of clips."
        ),
    ] = None,
    average: Annotated[
        str | None, typer.Option("--average", metavar="B", help="Compute to spend on a clip in the mean, as 1gflops.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look in folders inside folders too.")] = False,
    as_json: _Json = False,
    skip: Annotated[
        Path | None,
        typer.Option(
            "--skip-done", metavar="FILE", help="With --json: leave out the clips that an earlier run answered in FILE."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write a page a clip to look at, and an index.html over them."),
    ] = None,
    hwaccel: Annotated[
        str, typer.Option("--hwaccel", metavar="D", help="Decode video on cuda, vaapi, qsv …, auto or none.")
    ] = "none",
) -> None:
    """Tell the class of each clip. One line a clip, with the score and what it cost.

    To go on where a long batch stopped: avgn-edge classify -r clips --json --skip-done done.jsonl >> done.jsonl
    """
    from avgn_edge.cli.classify import AlignedLines, Indexed, JsonLines, classify_batch, tell_request
    from avgn_edge.cli.inputs import gather
    from avgn_edge.cli.runner import Job
    from avgn_edge.runtime.options import Options

    if report is not None:
        from avgn_edge._base.atomic import make_folder

        make_folder(report)
    job = Job(
        model,
        device,
        precision,
        threads,
        Options.of(
            budget,
            top=top or (5 if as_json else 1),
            sampling=sampling.value,
            exit_risk=exit_risk,
            average=average,
        ),
        report,
        hwaccel,
    )
    done: frozenset[str] = frozenset()
    if skip is not None:
        from avgn_edge.cli.resume_file import skip_done

        done = skip_done(skip, as_json=as_json)
    with job.open() as recognizer:
        chosen = recognizer.strategy(job.options)
        batch = gather(clips, recursive=recursive, done=done)
        tell_request(chosen)
        writer = JsonLines() if as_json else AlignedLines(batch, recognizer.labels, told=chosen.notes)
        with Indexed(writer, report) as told:
            code = classify_batch(batch, job, recognizer, jobs=jobs, writer=told, debug=context.obj)
    raise typer.Exit(code)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What training wrote.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The bundle's folder. [default: the checkpoint's stem, beside it]"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The bundle's name. [default: the checkpoint's stem]")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="TEXT", help="The licence of the weights.")
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option("--precisions", metavar="LIST", help="Of fp32,fp16,int8. [default: fp32; with clips, all]"),
    ] = None,
    calibration_data: Annotated[
        Path | None, typer.Option("--calibration-data", metavar="PATH", help="Labelled clips, as for evaluate.")
    ] = None,
    videos: _Videos = None,
    split: _Split = None,
    max_loss: _MaxLoss = 1.0,
    threads: _Threads = None,
    as_json: _Json = False,
) -> None:
    """Make a bundle of a checkpoint. Every graph is compared with PyTorch before it is written.

    With labelled clips the bundle is calibrated too: see calibrate.
    """
    from avgn_edge.cli import calibrate as calibrating
    from avgn_edge.cli import export as exporting

    chosen = exporting.choose_precisions(precisions, calibration_data)
    most_lost = calibrating.check_loss(max_loss)
    folder = output or exporting.folder_beside(checkpoint)
    made, calibration = exporting.export_checkpoint(
        checkpoint,
        folder,
        name,
        licence,
        chosen,
        None
        if calibration_data is None
        else exporting.Clips(calibration_data, videos, split, most_lost=most_lost, threads=threads),
    )
    if as_json:
        table = exporting.as_json(made)
        console.json_line(table if calibration is None else {**table, **calibrating.as_json(calibration)})
        return
    for line in exporting.as_text(made, str(folder)):
        console.data(line)
    for line in () if calibration is None else calibrating.as_text(calibration, str(folder)):
        console.data(line)


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Calibrated where it is, whole or not at all.")],
    data: Annotated[Path, typer.Option("--data", metavar="PATH", help="Labelled clips, as for evaluate.")],
    precisions: Annotated[
        str | None,
        typer.Option("--precisions", metavar="LIST", help="To add or make anew, of fp16,int8. [default: int8]"),
    ] = None,
    videos: _Videos = None,
    split: _Split = None,
    max_loss: _MaxLoss = 1.0,
    threads: _Threads = None,
    as_json: _Json = False,
) -> None:
    """Fit a bundle to your clips: INT8 ranges, when to stop early, and what each budget buys.

    A quarter of the clips gives ranges and temperatures, the others thresholds and the figures that are shown.
    """
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.cli import calibrate as calibrating

    calibrating.check_extra()
    opened = Bundle.open(bundle, verify="all")
    done = calibrating.calibrate_bundle(
        opened,
        bundle,
        data,
        videos=videos,
        split=split,
        precisions=calibrating.wanted_precisions(opened, precisions),
        most_lost=calibrating.check_loss(max_loss),
        threads=threads,
    )
    if as_json:
        console.json_line(calibrating.as_json(done))
        return
    for line in calibrating.as_text(done, str(bundle)):
        console.data(line)


@app.command()
def evaluate(
    bundle: Annotated[str | None, typer.Argument(metavar="BUNDLE", help="[default: the packaged one]")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A folder per class, a CSV of path,label[,start,end,split], a folder of synth, or ActivityNet's JSON.",
        ),
    ] = None,
    videos: _Videos = None,
    budget: Annotated[
        list[str] | None, typer.Option("--budget", "-b", metavar="B", help="May be given several times: a row each.")
    ] = None,
    exit_risk: Annotated[float | None, typer.Option("--exit-risk", metavar="R", help="As for classify.")] = None,
    average: Annotated[
        list[str] | None,
        typer.Option("--average", metavar="B", help="As for classify; may be given several times: a row each."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="The part of the set. [default: all of it]")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw accuracy over cost: a .png, .svg or .pdf."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write a page to look at: curves, confusion, what went wrong."),
    ] = None,
    worst: Annotated[
        int, typer.Option("--worst", metavar="N", min=0, help="With --report: clips that went wrong to have a page.")
    ] = 12,
    device: Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")] = "auto",
    threads: _Threads = None,
    sampling: Annotated[SamplingName, typer.Option(help="As for classify.")] = SamplingName.CHEAP,
    as_json: _Json = False,
) -> None:
    """Measure a bundle on labelled clips: accuracy and cost, and where truth is known, when and where it looked."""
    from avgn_edge.cli import evaluate as measuring
    from avgn_edge.runtime.recognizer import Recognizer

    if data is None:
        raise DataError("avgn-edge evaluate", "it needs labelled clips", "give a data set with --data")
    measuring.check_request(plot, report)
    with Recognizer.open(bundle, device, precision, threads=threads) as recognizer:
        found = measuring.read_clips(data, videos, split)
        rows: list[Row] = []
        details: list[Details] = []
        requests = measuring.requests(budget or [], average or [], exit_risk, sampling.value)
        detailed = None if report is None else details.append
        for row in measuring.evaluate_requests(recognizer, found, requests, mistakes=worst, detailed=detailed):
            rows.append(row)
            if as_json:
                console.json_line(row.to_dict())
        if report is not None:
            written = measuring.write_report(recognizer, rows, details, requests, report)
            console.note(f"report: {written}")
    if not as_json:
        for line in measuring.as_text(rows):
            console.data(line)
    if plot is not None:
        measuring.draw(rows, plot)
    raise typer.Exit(1 if any(row.failed for row in rows) else 0)


@app.command()
def watch(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A camera such as /dev/video0, an address, a file, or - for stdin.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="BUNDLE", help="[default: the packaged one]")
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", "-b", metavar="B", help="A second: 1gflops, 250mflops, 50ms or none.")
    ] = "1gflops",
    every: Annotated[
        float | None, typer.Option("--every", metavar="S", help="Seconds from moment to moment. [default: 0.6]")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option("--microphone", metavar="KIND:DEVICE", help="Sound for a camera, as alsa:default.")
    ] = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="X", help="Of a file: 1 is real time; max is as fast as it is taken.")
    ] = "1",
    give_up: Annotated[
        float | None,
        typer.Option("--give-up", metavar="S", min=0, help="How long to try to get a lost source back. [default: on]"),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")] = "auto",
    threads: _Threads = None,
    updates: Annotated[bool, typer.Option("--updates", help="A JSON line for every moment too.")] = False,
    as_text: Annotated[bool, typer.Option("--text", help="Lines for people, on a terminal and in a pipe.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines on a terminal too, the state of the source among them.")
    ] = False,
) -> None:
    """Watch a live source: a line when something begins, and when it ends. In a pipe JSON lines, else a view."""
    import time

    from avgn_edge.cli import watch as watching
    from avgn_edge.media.live.feed import sources
    from avgn_edge.runtime.recognizer import Recognizer

    opened = sources(source, microphone, speed=watching.parse_speed(speed), give_up_s=give_up)
    with Recognizer.open(model, device, precision, threads=threads) as recognizer:
        stream = recognizer.stream(budget, every_s=every, epoch_s=time.time() if opened[0][0].live else None)
        told = watching.teller(opened[0][0].name, as_json=as_json, as_text=as_text, updates=updates)
        code = watching.watch(stream, opened, told, debug=context.obj)
    raise typer.Exit(code)


@app.command()
def info(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle's folder. [default: the packaged one]")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Tell what a bundle holds and costs. Every file in it is checked."""
    from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
    from avgn_edge.cli import info as telling

    opened = Bundle.open(packaged_bundle_path() if bundle is None else bundle, verify="all")
    if as_json:
        console.json_line(telling.as_json(opened))
        return
    for line in telling.as_text(opened):
        console.data(line)


@app.command()
def doctor(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="BUNDLE", help="What to time a look of. [default: the packaged one]"),
    ] = None,
    prepare: Annotated[
        str | None,
        typer.Option(
            "--prepare", metavar="DEVICE", help="Build what this device's engine caches: minutes for tensorrt."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", metavar="P", help="With --prepare: auto, fp32, fp16, int8.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="With --prepare: CPU threads.")] = None,
    as_json: _Json = False,
) -> None:
    """Tell what this machine can run, and how long a look takes: each device really runs a bundle's graphs."""
    from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
    from avgn_edge.cli import doctor as telling
    from avgn_edge.runtime.device_check import examine, problems, versions

    bundle = Bundle.open(packaged_bundle_path() if model is None else model)
    if prepare is not None:
        from avgn_edge.cli.doctor import as_line, prepare_device

        for row in prepare_device(bundle, prepare, precision, threads):
            if as_json:
                console.json_line(row.to_dict())
            else:
                console.data(as_line(row))
        return
    findings = versions(), examine(bundle), problems()
    if as_json:
        console.json_line(telling.as_json(*findings))
    else:
        for line in telling.as_text(*findings):
            console.data(line)
    raise typer.Exit(0 if any(health.ok for health in findings[1]) else FAILED)


@app.command()
def bench(
    clip: Annotated[str | None, typer.Argument(metavar="CLIP", help="A video or sound file.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="BUNDLE", help="[default: the packaged one]")
    ] = None,
    budget: Annotated[str, typer.Option("--budget", "-b", metavar="B", help="As for classify.")] = "none",
    device: Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="CPU threads.")] = None,
    sampling: Annotated[SamplingName, typer.Option(help="As for classify.")] = SamplingName.CHEAP,
    save: Annotated[
        bool, typer.Option("--save", help="Measure the device profile with care, and keep it for time budgets.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Tell where the time goes: decoding, front end, each graph, orchestration; medians of several runs."""
    from avgn_edge.cli import bench as telling
    from avgn_edge.runtime.options import Options
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.timings import bench as run_bench

    telling.check_request(clip, save=save)
    options = Options.of(budget, sampling=sampling.value)
    with Recognizer.open(model, device, precision, threads=threads) as recognizer:
        recognizer.strategy(options)
        if save:
            console.note(f"device profile: {telling.save_profile(recognizer)}")
        if clip is None:
            return
        done = run_bench(recognizer, clip, options)
    if as_json:
        console.json_line(done.to_dict())
        return
    for line in telling.as_text(done):
        console.data(line)


@app.command()
def train(
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="A folder a class, a CSV of path,label[,start,end,split], or a JSON.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CHECKPOINT", help="The file to write.")],
    preset: Annotated[
        PresetName | None, typer.Option(help="The network: the paper's, or a small one for edges. [default: small]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command stopped; begin where it never began.")
    ] = False,
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
        TrainingPrecision, typer.Option(help="auto is bfloat16 on GPUs that have it, else float32.")
    ] = TrainingPrecision.AUTO,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes that decode. [default: cores - 1, at most 8]")
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(metavar="F", min=0, max=0.9, help="Held out where the data have no val split.")
    ] = 0.1,
    videos: Annotated[Path | None, typer.Option(metavar="DIR", help="The videos of an ActivityNet JSON.")] = None,
    task: Annotated[
        TaskName, typer.Option(help="auto is multi-label where a clip has several labels.")
    ] = TaskName.AUTO,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of weights, order, moments and augmentation.")] = 0,
    optimiser: Annotated[OptimiserName, typer.Option(help="The paper's SGD, or AdamW for short runs.")] = (
        OptimiserName.SGD
    ),
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
    as_json: _Json = False,
) -> None:
    """Train a network on labelled clips, with all of the paper's losses.

    Ctrl-C stops after the step under way; the same command with --resume goes on as if it had not. For several GPUs:
    torchrun --nproc-per-node N -m avgn_edge train ...
    """
    from avgn_edge.cli import train as training

    training.check_extra()
    from avgn_edge.training.train_options import TrainOptions

    asked = TrainOptions(
        preset=preset.value if preset is not None else None,
        epochs=epochs,
        batch=batch,
        seed=seed,
        optimiser=optimiser.value,
        lr_scale=lr_scale,
        precision=None if precision is TrainingPrecision.AUTO else precision.value,
        looks=looks,
        guidance=guidance,
        random_crop=random_crop,
        flip=not no_flip,
        without=tuple(without or ()),
        freeze=tuple(freeze or ()),
        imagenet=imagenet,
        imagenet_local=imagenet_local,
        init=init,
    )
    clips = training.Data(data, videos, val_fraction, task.value, workers)
    training.run_training(clips, asked, output, device, resume=resume, as_json=as_json)


@app.command()
def synth(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A new or empty folder, or an earlier set.")
    ],
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips.")] = 100,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed gives the same set.")] = 0,
    objects: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures, a folder a class.")] = None,
    sounds: Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings, a folder a class.")] = None,
    backgrounds: Annotated[Path | None, typer.Option(metavar="DIR", help="Photographs.")] = None,
    environment: Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings of places.")] = None,
    val_fraction: Annotated[float, typer.Option(metavar="F", min=0, max=1, help="Share of validation clips.")] = 0.2,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes. [default: as many as are worth it]")
    ] = None,
) -> None:
    """Compose a data set with known when and where. What has no folder is drawn, or played, by us."""
    from avgn_edge.cli.synth import as_text, write_set
    from avgn_edge.data.synth import Sources

    sources = Sources.from_folders(objects, sounds, backgrounds, environment)
    summary = write_set(output, sources, clips=clips, seed=seed, val_fraction=val_fraction, workers=workers)
    for line in as_text(summary):
        console.data(line)


@app.command()
def highlights(
    context: typer.Context,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video or sound file; with --tvsum a folder.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="BUNDLE", help="[default: the packaged one]")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            "-b",
            metavar="B",
            help="For the whole video: 90gflops, or none. [default: a quarter of glancing at one frame a second]",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, max=999, help="Segments at most.")] = 5,
    least: Annotated[
        float | None,
        typer.Option(
            "--least",
            metavar="S",
            min=0,
            help="The least score of a segment. [default: 0.3, and 0.65 of the best one's]",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")] = "auto",
    threads: _Threads = None,
    as_json: _Json = False,
    clips: Annotated[
        Path | None, typer.Option("--clips", metavar="DIR", help="Cut the segments out, without encoding them again.")
    ] = None,
    edl: Annotated[Path | None, typer.Option("--edl", metavar="FILE", help="An edit decision list, CMX 3600.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="A table of the segments.")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", metavar="FILE", help="A contact sheet, PNG.")] = None,
    tvsum: Annotated[
        Path | None,
        typer.Option("--tvsum", metavar="FILE", help="Measure instead: TVSum's annotations (ydata-tvsum50-anno.tsv)."),
    ] = None,
) -> None:
    """Find the salient segments of a long video: its sound is heard throughout, frames are glanced at where it pays."""
    from avgn_edge._base.errors import ClipError
    from avgn_edge.cli import highlights as telling
    from avgn_edge.runtime.recognizer import Recognizer

    wanted = telling.Wanted(clips, edl, csv, sheet)
    if tvsum is None:
        wanted.check(video)
    elif wanted != telling.Wanted():
        raise AvgnEdgeError("--tvsum", "it measures, and writes no files", "leave --clips, --edl, --csv, --sheet out")
    try:
        with Recognizer.open(model, device, precision, threads=threads) as recognizer:
            if tvsum is not None:
                row = telling.measure_tvsum(recognizer, tvsum, Path(video), budget)
                telling.tell_tvsum(row, as_json=as_json)
                return
            told = telling.find_highlights(recognizer, video, budget, top=top, least=least)
        told = telling.write_files(told, wanted)
    except ClipError as error:
        if as_json:
            console.json_line({"video": video, "error": console.one_line(error)})
        console.failure(error, debug=context.obj)
        raise typer.Exit(1) from None
    telling.tell(told, as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; every error is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    given = [text for text in options if text != "--debug"] + given[len(options) :]
    console.prepare()
    try:
        with Interruptible():  # SIGTERM is as Ctrl-C: what is half done is taken away
            return _invoke(given, debug=debug)
    except BrokenPipeError:  # such as `| head -1`, which has read enough
        console.abandon_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        console.note("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - nothing ends in a traceback that was not asked for
        console.failure(error, debug=debug)
        console.abandon_output()
        return FAILED


def _invoke(given: list[str], *, debug: bool) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("avgn-edge", given, obj=debug) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    except _ClickError as error:
        raise _usage_error(error) from error
    return 0


def _usage_error(error: Any) -> AvgnEdgeError:  # noqa: ANN401 - of either click
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "avgn-edge"
    why = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    return AvgnEdgeError(path, why, f"see {path} --help")
