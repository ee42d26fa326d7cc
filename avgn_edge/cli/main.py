"""The command line: loads the module of the chosen command, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

import avgn_edge
from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge.cli import console
from avgn_edge.cli.console import BROKEN_PIPE, FAILED, INTERRUPTED, Interruptible

COMMANDS = {
    "classify": "Tell the class of each clip.",
    "export": "Make a bundle of a checkpoint.",
    "calibrate": "Fit a bundle to your clips: INT8 ranges, when to stop early, and what each budget buys.",
    "evaluate": "Measure a bundle on labelled clips: accuracy and cost, and where truth is known, when and where it "
    "looked.",
    "watch": "Watch a live source: a line when something begins, and when it ends.",
    "info": "Tell what a bundle holds and costs.",
    "doctor": "Tell what this machine can run, and how long a look takes: each device really runs a bundle's graphs.",
    "bench": "Tell where the time goes: decoding, front end, each graph, orchestration; medians of several runs.",
    "train": "Train a network on labelled clips, with all of the paper's losses.",
    "synth": "Compose a data set with known when and where.",
    "highlights": "Find the salient segments of a long video: its sound is heard throughout, frames are glanced at "
    "where it pays.",
}
"""What `--help` lists. The module `avgn_edge.cli.<name>` has the function `command`, with the options as parameters."""

# typer carries a copy of click, or imports it, depending on its version: the base of what both raise is found here.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__base__)


class CommandGroup(TyperGroup):
    """The commands of `COMMANDS`; only the module of the one that is called is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - types of either click
        """Return the name, the command and the arguments that are left for it."""
        name, _, rest = super().resolve_command(ctx, args)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        single.command(name)(importlib.import_module(f"avgn_edge.cli.{name}").command)
        return name, typer.main.get_command(single), rest


app = typer.Typer(
    name="avgn-edge",
    cls=CommandGroup,
    help="Audio-visual video recognition that stays inside the compute it was given.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


def _listed() -> None:
    """Stand for a command whose module is not imported."""


for _name, _summary in COMMANDS.items():
    app.command(_name, help=_summary)(_listed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; every error is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in options
    words = [word for word in options if word != "--debug"] + words[len(options) :]
    console.prepare()
    try:
        with Interruptible():  # SIGTERM is as Ctrl-C: what is half done is taken away
            return _invoke(words, debug=debug)
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


def _invoke(words: list[str], *, debug: bool) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("avgn-edge", words, obj=debug) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    except _UsageError as error:
        raise _one_line(error) from error
    return 0


def _one_line(error: typer.BadParameter) -> AvgnEdgeError:
    path = error.ctx.command_path if error.ctx is not None else "avgn-edge"
    why = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    return AvgnEdgeError(path, why, f"see {path} --help")
