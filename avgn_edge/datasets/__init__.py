"""Labelled clips for training, calibration and evaluation, in the three forms that data sets come in. No PyTorch."""

from avgn_edge.datasets.checking import Findings, check
from avgn_edge.datasets.data_set import DataSet
from avgn_edge.datasets.labelled_clip import LabelledClip
from avgn_edge.datasets.reading import read_dataset
from avgn_edge.labels import Task

__all__ = ["DataSet", "Findings", "LabelledClip", "Task", "check", "read_dataset"]
