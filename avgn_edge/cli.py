"""The command line: one thin function a command; `main` turns what they raise into one line and an exit code."""

# ruff: noqa: PLC0415 - a command imports what it needs: `--version` and a wrong option should not wait for NumPy

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

import avgn_edge
from avgn_edge.errors import AvgnEdgeError, DataError
from avgn_edge.terminal import lines

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
        lines.data(f"avgn-edge {avgn_edge.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        lines.data(context.get_help())


@app.command()
def classify(
    context: typer.Context,
    clips: Annotated[list[str], typer.Argument(metavar="CLIP", help="Video or sound files, or folders of them.")],
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
        int | None, typer.Option("--threads", metavar="N", help="CPU threads. [default: all usable cores]")
    ] = None,
    sampling: Annotated[
        SamplingName,
        typer.Option(help="Frames from key frames nearby, or from the centre of each sixteenth of the clip."),
    ] = SamplingName.CHEAP,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look in folders inside folders too.")] = False,
    as_json: _Json = False,
) -> None:
    """Tell the class of each clip. One line a clip, with the score and what it cost."""
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.terminal.classify import AlignedLines, JsonLines, classify_clips
    from avgn_edge.terminal.clips import find_clips

    asked = Budget.parse(budget)
    with Recognizer.open(model, device, precision, threads=threads) as recognizer:
        recognizer.check_budget(asked)
        found = list(find_clips(clips, recursive=recursive))
        writer = JsonLines() if as_json else AlignedLines(found, recognizer.labels)
        code = classify_clips(
            recognizer,
            found,
            asked,
            sampling.value,
            top=top or (5 if as_json else 1),
            writer=writer,
            debug=context.obj,
        )
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
        str, typer.Option("--precisions", metavar="LIST", help="Those to write; this version knows fp32.")
    ] = "fp32",
    as_json: _Json = False,
) -> None:
    """Make a bundle of a checkpoint. Every graph is compared with PyTorch before it is written."""
    from avgn_edge.terminal import export as exporting

    exporting.check_precisions(precisions)
    folder = output or exporting.folder_beside(checkpoint)
    made = exporting.export_checkpoint(checkpoint, folder, name, licence)
    if as_json:
        lines.json_line(exporting.as_json(made))
        return
    for line in exporting.as_text(made, str(folder)):
        lines.data(line)


@app.command()
def evaluate(
    bundle: Annotated[str | None, typer.Argument(metavar="BUNDLE", help="[default: the packaged one]")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="A CSV of path,label[,split], or a folder of synth.")
    ] = None,
    budget: Annotated[
        list[str] | None, typer.Option("--budget", "-b", metavar="B", help="May be given several times: a row each.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="The part of the set. [default: all of it]")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads.")] = None,
    sampling: Annotated[SamplingName, typer.Option(help="As for classify.")] = SamplingName.CHEAP,
    as_json: _Json = False,
) -> None:
    """Measure a bundle on labelled clips: accuracy and cost, and where truth is known, when and where it looked."""
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.terminal import evaluate as measuring

    if data is None:
        raise DataError("avgn-edge evaluate", "it needs labelled clips", "give a CSV or a composed set with --data")
    with Recognizer.open(bundle, device, precision, threads=threads) as recognizer:
        rows = []
        for row in measuring.evaluate_budgets(recognizer, data, split, budget or ["none"], sampling.value):
            rows.append(row)
            if as_json:
                lines.json_line(row.to_dict())
        if not as_json:
            for line in measuring.as_text(rows):
                lines.data(line)


@app.command()
def info(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle's folder. [default: the packaged one]")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Tell what a bundle holds and costs. Every file in it is checked."""
    from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
    from avgn_edge.terminal import info as telling

    opened = Bundle.open(packaged_bundle_path() if bundle is None else bundle, verify="all")
    if as_json:
        lines.json_line(telling.as_json(opened))
        return
    for line in telling.as_text(opened):
        lines.data(line)


@app.command()
def doctor(as_json: _Json = False) -> None:
    """Tell what this machine can run. A small graph is really run on each device."""
    from avgn_edge.runtime.doctor import examine, problems, versions
    from avgn_edge.terminal import doctor as telling

    findings = versions(), examine(), problems()
    if as_json:
        lines.json_line(telling.as_json(*findings))
    else:
        for line in telling.as_text(*findings):
            lines.data(line)
    raise typer.Exit(0 if any(health.ok for health in findings[1]) else FAILED)


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
    from avgn_edge.synth import Sources
    from avgn_edge.terminal.synth import as_text, write_set

    sources = Sources.from_folders(objects, sounds, backgrounds, environment)
    summary = write_set(output, sources, clips=clips, seed=seed, val_fraction=val_fraction, workers=workers)
    for line in as_text(summary):
        lines.data(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; every error is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    given = [text for text in options if text != "--debug"] + given[len(options) :]
    lines.prepare()
    try:
        return _invoke(given, debug=debug)
    except BrokenPipeError:  # such as `| head -1`, which has read enough
        lines.abandon_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        lines.note("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - nothing ends in a traceback that was not asked for
        lines.failure(error, debug=debug)
        lines.abandon_output()
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
