"""A folder per class, the clips of the class anywhere inside it."""

from __future__ import annotations

from pathlib import Path

from avgn_edge.datasets.data_set import DataSet
from avgn_edge.datasets.labelled_clip import SPLITS, LabelledClip, check_label, split_name
from avgn_edge.datasets.media_files import media_files
from avgn_edge.errors import DataError

LAYOUT = "give a folder with a folder per class in it"


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
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise DataError(what, f"there are no folders in {folder}", LAYOUT)
    return found


def _clips(what: str, root: Path, folder: Path, split: str | None) -> list[LabelledClip]:
    label = check_label(f"{what}, the folder {folder.name!a}", folder.name)
    found = media_files(what, folder)
    if not found:
        why = f"there are no media files in {folder}"
        raise DataError(what, why, "add clips of the class, or take the folder away")
    return [LabelledClip(path, path.relative_to(root).as_posix(), (label,), split) for path in found]
