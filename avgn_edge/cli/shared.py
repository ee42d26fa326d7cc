"""What several commands share: options, each defined once, and the check for the packages of an extra."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from avgn_edge._base.errors import AvgnEdgeError, DeviceError, MissingExtraError
from avgn_edge.bundle.manifest import PRECISIONS


class Sampling(str, Enum):
    """Where in its sixteenth of the clip a moment's frame is taken; typer takes Literals from 0.19 on only."""

    CHEAP = "cheap"
    CENTRE = "centre"


AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else.")]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads.")]
PackagedModel = Annotated[
    str | None, typer.Option("--model", "-m", metavar="BUNDLE", help="[default: the packaged one]")
]
Device = Annotated[str, typer.Option("--device", metavar="D", help="As for classify.")]
Precision = Annotated[str, typer.Option("--precision", metavar="P", help="As for classify.")]
MomentSampling = Annotated[Sampling, typer.Option("--sampling", help="As for classify.")]
Videos = Annotated[
    Path | None, typer.Option("--videos", metavar="DIR", help="Where the videos of ActivityNet's JSON are.")
]
Split = Annotated[str | None, typer.Option("--split", metavar="NAME", help="The part of the clips.")]
MaxLoss = Annotated[
    float, typer.Option("--max-loss", metavar="POINTS", help="Of top-1 that another precision may lose.")
]


def read_max_loss(points: float) -> float:
    """Return the value of --max-loss, in points of top-1, as a share; AvgnEdgeError outside of 0 to 100."""
    if not 0 <= points <= 100:
        raise AvgnEdgeError(f"--max-loss {points:g}", "it is in points of top-1", "give 0 to 100")
    return points / 100


def read_precisions(text: str) -> tuple[str, ...]:
    """Read the value of --precisions, such as "fp32,int8"; DeviceError for an unknown name."""
    names = [name.strip() for name in text.lower().split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise DeviceError(f"precision {name[:40]!r}", "unknown", f"choose of {', '.join(PRECISIONS)}")
    return tuple(name for name in PRECISIONS if name in names)


def require_extra(extra: str, packages: Sequence[str]) -> None:
    """Import the packages that a command needs; MissingExtraError names the first one that is not installed.

    `extra` is the command's name too.
    """
    try:
        for package in packages:
            importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, package, extra) from error
