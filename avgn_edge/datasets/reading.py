"""Reads a data set in whichever of the three forms it comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avgn_edge.datasets.activitynet import read_activitynet
from avgn_edge.datasets.class_folders import read_class_folders
from avgn_edge.datasets.csv_table import read_csv
from avgn_edge.datasets.data_set import DataSet
from avgn_edge.errors import DataError

TABLE = "labels.csv"
"""A folder that holds this is read as this: it is what `synth` writes."""


def read_dataset(source: Path, videos: Path | None = None) -> DataSet:
    """Read a folder of a folder per class, a CSV of `path,label[,start,end,split]`, or ActivityNet's JSON.

    `videos` is the folder of the JSON's videos, and goes with nothing else. No clip is opened: `checking.check` does.
    DataError for what cannot be read as a data set.
    """
    suffix = source.suffix.lower()
    if suffix == ".json" and not source.is_dir():
        return read_activitynet(source, videos)
    if videos is not None:
        why = f"only ActivityNet's JSON goes with a folder of videos ({videos})"
        raise DataError(f"data set {source}", why, "give the JSON, or leave --videos out")
    if source.is_dir():
        table = source / TABLE
        return replace(read_csv(table), source=source) if table.is_file() else read_class_folders(source)
    if suffix == ".csv":
        return read_csv(source)
    why = "it is neither a folder, a CSV nor a JSON file" if source.exists() else "there is no such file or folder"
    raise DataError(f"data set {source}", why, "give a folder per class, a CSV, or ActivityNet's JSON")
