"""Devices, sessions, crop, budget, exit, recognizer: the network at work (no torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge._base import lazily

if TYPE_CHECKING:
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result

__all__ = ["Budget", "Recognizer", "Result"]

# Reading a budget needs neither NumPy nor PyAV.
__getattr__, __dir__ = lazily(__name__, {name: name.lower() for name in __all__})
