"""The forms that data sets come in: a folder per class, a CSV, ActivityNet's JSON."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets.data_set import SPLITS, DataSet, LabelledClip, check_label, split_name
from avgn_edge.media.container import MEDIA, VIDEO

T = TypeVar("T")
COLUMNS = "give a CSV with the columns path,label and, where wanted, start,end,split"
FORM = 'give ActivityNet\'s {"database": {id: {"subset": ..., "annotations": [{"label": ...}]}}}'
TABLE = "labels.csv"
"""A folder that holds this table is read by it: `synth` writes one."""
BETWEEN_LABELS = "|"
_CELL = r'(?: *"(?:[^"]|"")*"|[^",]*)'
_ROW = re.compile(f"{_CELL}(?:,{_CELL})*")
"""A row whose quotation marks stand where a CSV has them: around whole cells, and doubled inside those."""


def media_files(what: str, folder: Path, *, nested: bool = True) -> list[Path]:
    """List the media files in `folder` by their suffixes, sorted; with `nested` those in the folders inside it too.

    Hidden files and folders are left out. Links to folders inside it are not followed: they may lead back. DataError
    about `what` for a folder that cannot be read.
    """
    paths: list[Path] = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if nested and not name.startswith("."))
            for name in sorted(files):
                path = Path(place, name)
                if path.suffix.lower() in MEDIA and not name.startswith("."):
                    paths.append(path)
    except OSError as error:
        why = f"the folder {error.filename} cannot be read ({error.strerror or error})"
        raise DataError(what, why, "check the path and its permissions") from error
    return paths


def _raise(error: OSError) -> None:
    raise error


def read_class_folders(folder: Path) -> DataSet:
    """Read the media files under each folder in `folder`, named by their paths inside it; hidden ones are left out.

    Where all of the folders are splits by name ("train", "val", "test"), the classes are the folders inside those.
    DataError for a class without clips, as for media that lie outside every class: they would go unnoticed.
    """
    what = f"data set {folder}"
    parts = _folders(what, folder)
    if all(part.name.lower() in SPLITS for part in parts):
        clips = [
            clip
            for part in parts
            for label in _folders(what, part)
            for clip in _clips(what, folder, label, split_name(part.name))
        ]
    else:
        clips = [clip for label in parts for clip in _clips(what, folder, label, None)]
    return DataSet.of(folder, clips)


def _folders(what: str, folder: Path) -> list[Path]:
    inside = media_files(what, folder, nested=False)
    if inside:
        why = f"{inside[0].name} lies in {folder}, outside the folders of the classes"
        raise DataError(what, why, "move it into the folder of its class")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(what, f"there are no folders in {folder}", "give a folder with a folder per class in it")
    return folders


def _clips(what: str, root: Path, folder: Path, split: str | None) -> list[LabelledClip]:
    label = check_label(f"{what}, the folder {folder.name!a}", folder.name)
    paths = media_files(what, folder)
    if not paths:
        why = f"there are no media files in {folder}"
        raise DataError(what, why, "add clips of the class, or take the folder away")
    return [LabelledClip(path, path.relative_to(root).as_posix(), (label,), split) for path in paths]


def read_csv(table: Path) -> DataSet:
    """Read a CSV with a header; other columns are ignored, and so are empty rows. Paths are relative to the CSV.

    UTF-8, with or without a byte order mark, any line ends. Blanks after a comma and around a label do not count.
    DataError that names the line for a row that says nothing or what cannot be, quotation marks inside a cell among it.
    """
    what = f"data set {table}"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = _rows(what, file)
            _, names = next(rows, (0, []))
            header = [name.strip().lower() for name in names]
            _check_header(what, header)
            clips = [_clip(table, line, header, row) for line, row in rows if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(what, "it is not UTF-8 text", "save it as a CSV in UTF-8") from error
    except OSError as error:
        raise DataError(what, f"it cannot be read ({error.strerror or error})", COLUMNS) from error
    return DataSet.of(table, clips)


def _rows(what: str, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line of each row, and its cells."""
    text: list[str] = []
    rows = csv.reader(_noted(file, text), strict=True, skipinitialspace=True)
    while True:
        text.clear()
        try:
            row = next(rows, None)
        except csv.Error as error:
            why = f"it cannot be read ({error})"
            raise DataError(f"{what}, line {rows.line_num}", why, COLUMNS) from error
        if row is None:
            return
        whole = "".join(text).rstrip("\r\n")
        if '"' in whole and not _ROW.fullmatch(whole):
            why = "a quotation mark stands inside a cell"
            advice = "put them around whole cells, and write one that is meant as two, inside such a cell"
            raise DataError(f"{what}, line {rows.line_num}", why, advice)
        yield rows.line_num, row


def _noted(file: Iterable[str], text: list[str]) -> Iterator[str]:
    for line in file:
        text.append(line)
        yield line


def _check_header(what: str, header: list[str]) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        raise DataError(what, f"its first line names no column {' and no '.join(missing)}", COLUMNS)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(what, f"its first line names {twice[0]} twice", COLUMNS)


def _clip(table: Path, line: int, header: list[str], row: list[str]) -> LabelledClip:
    what = f"data set {table}, line {line}"
    if len(row) != len(header):
        why = f"it has {len(row)} fields where the first line has {len(header)}"
        raise DataError(what, why, "put text that holds a comma in quotation marks")
    cells = dict(zip(header, row, strict=True))
    if not cells["path"].strip():
        raise DataError(what, "it has no path", "name a file, or take the line out")
    labels = tuple(dict.fromkeys(label.strip() for label in cells["label"].split(BETWEEN_LABELS)))
    if not all(labels):
        why = f"a label is missing ({cells['label']!r})" if any(labels) else "it has no label"
        raise DataError(what, why, f"give labels separated by {BETWEEN_LABELS}")
    for label in labels:
        check_label(what, label)
    start_s, end_s = (_seconds(what, name, cells.get(name, "")) for name in ("start", "end"))
    if end_s is not None and end_s <= (start_s or 0):
        raise DataError(what, f"it ends at {end_s:g} s, before it begins", "give seconds, the start before the end")
    path = cells["path"]
    return LabelledClip(table.parent / path, path, labels, split_name(cells.get("split")), start_s, end_s)


def _seconds(what: str, name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(what, f"its {name} is {text.strip()!r}", "give seconds, or leave it empty")
    return seconds


def read_activitynet(table: Path, videos: Path | None) -> DataSet:
    """Read the videos of ActivityNet's JSON, found under `videos` as `v_<id>.*` or `<id>.*`.

    A video has the labels of all its annotations, without the blanks around them. One that is not there keeps its
    place, so that `checking.check` counts and names it. Videos of the testing subset have no annotations, and are left
    out. DataError for anything that is not such a JSON, and without `videos`.
    """
    what = f"data set {table}"
    database = _database(what, table)
    if videos is None:
        raise DataError(what, "it does not say where its videos are", "name their folder with --videos")
    if not videos.is_dir():
        raise DataError(what, f"there is no folder {videos}", "name the folder of its videos with --videos")
    # By name without suffix; a video goes before the sound taken from it.
    paths = sorted(media_files(what, videos), key=lambda path: path.suffix.lower() in VIDEO)
    files = {path.stem: path for path in paths}
    clips: list[LabelledClip] = []
    without: list[str] = []
    for name, entry in database.items():
        if {"/", "\\", "\0"} & set(name):  # such as ../../x, which is looked for outside of `videos`
            raise DataError(what, f"the video {name!a} cannot be the name of a file", "take it out of the JSON")
        split = split_name(_field(what, name, entry, "subset", str))
        labels = _labels(what, name, entry)
        if labels:
            path = files.get(f"v_{name}") or files.get(name) or videos / f"v_{name}.mp4"
            clips.append(LabelledClip(path, name, labels, split))
        elif split != "test":
            without.append(name)
    if without:
        why = f"{len(without)} videos to train or validate on have no annotations, {without[0]} among them"
        raise DataError(what, why, "take them out of the JSON")
    return DataSet.of(table, clips)


def _database(what: str, table: Path) -> dict[str, Any]:
    try:
        whole = json.loads(table.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(what, f"it cannot be read ({error.strerror or error})", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise DataError(what, "it is not JSON", FORM) from error
    database = whole.get("database") if isinstance(whole, dict) else None
    if not isinstance(database, dict):
        raise DataError(what, "it has no database of videos", FORM)
    return database


def _labels(what: str, name: str, entry: object) -> tuple[str, ...]:
    annotations: list[Any] = _field(what, name, entry, "annotations", list)
    labels = dict.fromkeys(_field(what, name, annotation, "label", str).strip() for annotation in annotations)
    return tuple(check_label(f"{what}, the video {name}", label) for label in labels)


def _field(what: str, name: str, entry: object, field: str, kind: type[T]) -> T:
    value = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise DataError(what, f"the video {name} has no {field} that can be read", FORM)
    return value


def read_dataset(source: Path, videos: Path | None = None) -> DataSet:
    """Read a data set; no clip is opened, `checking.check` does that.

    Args:
        source: A folder with a folder per class, a CSV of `path,label[,start,end,split]`, or ActivityNet's JSON.
        videos: The folder of the JSON's videos; it goes with nothing else.

    Raises:
        DataError: The source cannot be read as a data set.
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
