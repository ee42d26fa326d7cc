"""ActivityNet-1.3's JSON and a folder of its videos: the labels of whole videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avgn_edge.datasets.data_set import DataSet
from avgn_edge.datasets.labelled_clip import LabelledClip, check_label, split_name
from avgn_edge.datasets.media_files import media_files
from avgn_edge.errors import DataError
from avgn_edge.media.suffixes import VIDEO

FORM = 'give ActivityNet\'s {"database": {id: {"subset": ..., "annotations": [{"label": ...}]}}}'


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
    there = _by_stem(what, videos)
    clips: list[LabelledClip] = []
    without: list[str] = []
    for name, entry in database.items():
        if {"/", "\\", "\0"} & set(name):  # such as ../../x, which is looked for outside of `videos`
            raise DataError(what, f"the video {name!a} cannot be the name of a file", "take it out of the JSON")
        split = split_name(_field(what, name, entry, "subset", str))
        labels = _labels(what, name, entry)
        if labels:
            path = there.get(f"v_{name}") or there.get(name) or videos / f"v_{name}.mp4"
            clips.append(LabelledClip(path, name, labels, split))
        elif split != "test":
            without.append(name)
    if without:
        why = f"{len(without)} videos to train or validate on have no annotations, {without[0]} among them"
        raise DataError(what, why, "take them out of the JSON")
    return DataSet.of(table, clips)


def _by_stem(what: str, videos: Path) -> dict[str, Path]:
    """Return the media under `videos` by name without suffix; a video goes before the sound taken from it."""
    found = sorted(media_files(what, videos), key=lambda path: path.suffix.lower() in VIDEO)
    return {path.stem: path for path in found}


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


def _labels(what: str, name: str, entry: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    annotations: list[Any] = _field(what, name, entry, "annotations", list)
    found = (_field(what, name, annotation, "label", str).strip() for annotation in annotations)
    return tuple(check_label(f"{what}, the video {name}", label) for label in dict.fromkeys(found))


def _field(what: str, name: str, entry: Any, field: str, kind: type) -> Any:  # noqa: ANN401 - JSON
    value = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise DataError(what, f"the video {name} has no {field} that can be read", FORM)
    return value
