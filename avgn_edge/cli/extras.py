"""Says in one line which extra a command needs, before anything takes time."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from avgn_edge._base.errors import MissingExtraError


def require(extra: str, packages: Sequence[str]) -> None:
    """Import the packages that a command needs; MissingExtraError names the first that is not there.

    `extra` is the command's name too.
    """
    for package in packages:
        _import(extra, package)


def _import(extra: str, package: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, package, extra) from error
