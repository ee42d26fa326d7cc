"""Devices, sessions, crop, budget, exit, recognizer: the network at work (no torch)."""

from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.result import Result

__all__ = ["Budget", "Recognizer", "Result"]
