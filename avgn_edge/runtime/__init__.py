"""Devices, sessions, crop, budget, exit, recognizer: the network at work (no torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result

__all__ = ["Budget", "Recognizer", "Result"]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: reading a budget needs neither NumPy nor PyAV."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{name.lower()}"), name)
