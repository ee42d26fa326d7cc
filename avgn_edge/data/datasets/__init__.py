"""Labelled clips for training, calibration and evaluation, in the three forms that data sets come in. No PyTorch."""

from __future__ import annotations

from avgn_edge._base.text import Task
from avgn_edge.data.datasets.checking import Findings, check
from avgn_edge.data.datasets.data_set import DataSet, LabelledClip
from avgn_edge.data.datasets.formats import read_dataset

__all__ = ["DataSet", "Findings", "LabelledClip", "Task", "check", "read_dataset"]
