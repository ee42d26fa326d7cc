"""The media a set is composed of: objects and sounds a class, backgrounds, environment; from folders or our own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from avgn_edge._base.errors import DataError
from avgn_edge.data.synth import own

Array = npt.NDArray[np.float32]
BLOCK = 160  # lengths are padded to a multiple of this, so that spectra of common rates have small factors


def resample(samples: Array, rate: int, new_rate: int, speed: float = 1.0, tilt_db: float = 0.0) -> Array:
    """Return float32 [n] at another rate, played `speed` times as fast, with `tilt_db` an octave around 1 kHz."""
    if rate == new_rate and speed == 1.0 and tilt_db == 0.0:
        return samples
    ratio = new_rate / (rate * speed)
    padded = BLOCK * ceil((len(samples) + BLOCK // 2) / BLOCK)
    count = max(2, round(padded * ratio))
    spectrum = np.fft.rfft(samples, padded)
    if tilt_db:
        frequency = np.maximum(np.fft.rfftfreq(padded, 1 / (rate * speed)), 60.0)
        spectrum *= 10 ** (tilt_db * np.log2(frequency / 1000) / 20)
    bins = count // 2 + 1
    if bins <= len(spectrum):
        spectrum = spectrum[:bins]
    else:
        spectrum = np.concatenate([spectrum, np.zeros(bins - len(spectrum), dtype=spectrum.dtype)])
    changed = np.fft.irfft(spectrum, count) * (count / padded)
    return changed[: max(1, round(len(samples) * ratio))].astype(np.float32)


Part = Literal["train", "val"]
Kind = Literal["object", "sound", "background", "environment"]
PathLike = str | Path

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
SOUNDS = frozenset({".flac", ".wav", ".ogg", ".mp3"})
VALIDATION_SHARE: dict[Kind, float] = {"object": 0.2, "sound": 0.2, "background": 0.15, "environment": 0.2}
PHOTO_SIDE = 800  # photographs are kept no wider than this, and never below a frame of 640x360 with zoom
OBJECT_SIDE = 96

OWN_CLASSES = tuple("0123456789")
OWN_OBJECTS = 120  # a class
OWN_VOICES = 6
OWN_WORDS = 8  # a voice and class
OWN_BACKGROUNDS = 60
OWN_PLACES = 5
OWN_NOISES = 8  # a place


@dataclass(frozen=True)
class Medium:
    """One recording or picture. Without a path it is our own, made from its name."""

    kind: Kind
    name: str
    group: str = ""
    speaker: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Sources:
    """Everything a clip may hold, in an order that depends on names only."""

    classes: tuple[str, ...]
    objects: dict[str, tuple[Medium, ...]]
    sounds: dict[str, tuple[Medium, ...]]
    backgrounds: tuple[Medium, ...]
    environment: tuple[Medium, ...]

    @classmethod
    def from_folders(
        cls,
        objects: PathLike | None = None,
        sounds: PathLike | None = None,
        backgrounds: PathLike | None = None,
        environment: PathLike | None = None,
    ) -> Sources:
        """List the media of folders; what has no folder is our own.

        `objects` and `sounds` hold a folder a class, the same classes in both; a sound's speaker is what stands
        before the last `_` of its name. `backgrounds` and `environment` may be nested.
        """
        pictures = _class_folders("object", objects, IMAGES) if objects is not None else None
        words = _class_folders("sound", sounds, SOUNDS) if sounds is not None else None
        if pictures is not None and words is not None and pictures.keys() != words.keys():
            odd = ", ".join(sorted(pictures.keys() ^ words.keys()))
            raise DataError(
                "synth", f"objects and sounds do not hold the same classes ({odd})", "give both a folder for each class"
            )
        classes = tuple(sorted(pictures or words or OWN_CLASSES))
        return cls(
            classes=classes,
            objects=pictures if pictures is not None else {label: _own_objects(label) for label in classes},
            sounds=words if words is not None else {label: _own_words(label, i) for i, label in enumerate(classes)},
            backgrounds=_own_backgrounds() if backgrounds is None else _folder("background", backgrounds, IMAGES),
            environment=_own_noises() if environment is None else _folder("environment", environment, SOUNDS),
        )

    @property
    def speakers(self) -> tuple[str, ...]:
        """Return the speakers of all classes' sounds, sorted."""
        return tuple(sorted({sound.speaker for sounds in self.sounds.values() for sound in sounds}))

    def split(self, part: Part, speaker: str | None = None) -> Sources:
        """Return one part's media: validation has a speaker, objects, photographs and places of its own.

        `speaker`: the one kept for validation; the last by name when not given. Where that one does not say every
        class, the last recordings of each class are kept instead.
        """
        speakers = self.speakers
        if speaker is not None and speaker not in speakers:
            raise DataError("synth", f"no sound is by {speaker!r}", f"choose one of {', '.join(speakers)}")
        kept = speaker if speaker is not None else speakers[-1]
        voices = {label: {sound.speaker for sound in sounds} for label, sounds in self.sounds.items()}
        if all(kept in heard and len(heard) > 1 for heard in voices.values()):
            sounds = {
                label: tuple(sound for sound in recordings if (sound.speaker == kept) == (part == "val"))
                for label, recordings in self.sounds.items()
            }
        elif speaker is not None:
            raise DataError("synth", f"{speaker} and others do not both say every class", "name another speaker")
        else:  # speakers are not told apart: recordings are
            sounds = {label: _part(recordings, part) for label, recordings in self.sounds.items()}
        return replace(
            self,
            objects={label: _part(pictures, part) for label, pictures in self.objects.items()},
            sounds=sounds,
            backgrounds=_part(self.backgrounds, part),
            environment=tuple(item for group in _by_group(self.environment) for item in _part(group, part)),
        )


def _by_group(media: Iterable[Medium]) -> list[list[Medium]]:
    groups: dict[str, list[Medium]] = defaultdict(list)
    for medium in media:
        groups[medium.group].append(medium)
    return [groups[name] for name in sorted(groups)]


def _part(media: Iterable[Medium], part: Part) -> tuple[Medium, ...]:
    """Return the part of a sorted list: its last share is validation; a list of one is both."""
    items = tuple(media)
    if len(items) < 2:
        return items
    share = VALIDATION_SHARE[items[0].kind]
    cut = min(len(items) - 1, max(1, round(len(items) * (1 - share))))
    return items[:cut] if part == "train" else items[cut:]


def _folder(kind: Kind, folder: PathLike, suffixes: frozenset[str]) -> tuple[Medium, ...]:
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{kind} media", f"{root} is not a folder", "give an existing folder, or none for our own")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not paths:
        wanted = " ".join(sorted(suffixes))
        raise DataError(f"{kind} media", f"{root} holds no files of {wanted}", "give a folder that does")
    return tuple(
        Medium(
            kind=kind,
            name=path.relative_to(root).as_posix(),
            group=path.parent.relative_to(root).as_posix(),
            speaker=path.stem.rpartition("_")[0] if kind == "sound" else "",
            path=path,
        )
        for path in paths
    )


def _class_folders(kind: Kind, folder: PathLike, suffixes: frozenset[str]) -> dict[str, tuple[Medium, ...]]:
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{kind} media", f"{root} is not a folder", "give an existing folder, or none for our own")
    labels = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not labels:
        raise DataError(f"{kind} media", f"{root} holds no folders", "give a folder that holds one folder a class")
    found = {label: _folder(kind, root / label, suffixes) for label in labels}
    return {
        label: tuple(replace(medium, name=f"{label}/{medium.name}", group=label) for medium in media)
        for label, media in found.items()
    }


def _own_objects(label: str) -> tuple[Medium, ...]:
    return tuple(Medium("object", f"own/glyphs/{label}/{i:03d}", group=label) for i in range(OWN_OBJECTS))


def _own_words(label: str, index: int) -> tuple[Medium, ...]:
    return tuple(
        Medium("sound", f"own/words/{index}/{voice}/{i}", group=label, speaker=f"voice{voice}")
        for voice in range(OWN_VOICES)
        for i in range(OWN_WORDS)
    )


def _own_backgrounds() -> tuple[Medium, ...]:
    return tuple(Medium("background", f"own/textures/{i:03d}") for i in range(OWN_BACKGROUNDS))


def _own_noises() -> tuple[Medium, ...]:
    return tuple(
        Medium("environment", f"own/noises/{place}/{i}", group=str(place))
        for place in range(OWN_PLACES)
        for i in range(OWN_NOISES)
    )


def _open_picture(path: Path) -> Image.Image:
    try:
        picture = Image.open(path)
        picture.draft("RGB", (PHOTO_SIDE, PHOTO_SIDE))
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(path.name, f"not a picture that can be read ({error})", "remove it or convert it") from error
    return picture


@lru_cache(maxsize=8192)
def ink_of(medium: Medium) -> Array:
    """Return an object as ink: float32 [h, w], 0 paper, 1 ink."""
    if medium.path is None:
        return own.draw_glyph(medium.group, medium.name)
    picture = _open_picture(medium.path)
    if "A" in picture.getbands() or "transparency" in picture.info:
        cut_out = picture.convert("RGBA")
        picture = Image.new("RGBA", cut_out.size, "white")
        picture.alpha_composite(cut_out)
    grey = picture.convert("L")
    grey.thumbnail((OBJECT_SIDE, OBJECT_SIDE))
    ink: Array = np.asarray(grey, dtype=np.float32) / np.float32(255)
    rim = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    return np.float32(1) - ink if np.median(rim) > 0.5 else ink


@lru_cache(maxsize=96)
def photograph(medium: Medium) -> Image.Image:
    """Return a background as an RGB picture."""
    if medium.path is None:
        return Image.fromarray(own.draw_texture(medium.name))
    picture = _open_picture(medium.path).convert("RGB")
    if min(picture.size) > PHOTO_SIDE * 9 // 16:
        scale = PHOTO_SIDE * 9 / 16 / min(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return picture


def _read_sound(medium: Medium) -> tuple[Array, int]:
    if medium.path is None:
        if medium.kind == "environment":
            return own.play_noise(medium.name), own.SOUND_RATE
        index, voice = medium.name.split("/")[2:4]
        return own.play_word(int(index), int(voice), medium.name), own.SOUND_RATE
    try:
        samples, rate = soundfile.read(medium.path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(medium.name, f"not a sound that can be read ({error})", "remove it or convert it") from error
    if not len(samples):
        raise DataError(medium.name, "the sound is empty", "remove it")
    return samples.mean(axis=1), int(rate)


@lru_cache(maxsize=4096)
def spoken_word(medium: Medium) -> tuple[Array, int]:
    """Return the recording of a word as it was made: float32 [n] mono, and its rate."""
    return _read_sound(medium)


@lru_cache(maxsize=128)
def environment_sound(medium: Medium, rate: int) -> Array:
    """Return a recording of the environment at a rate: float32 [n] mono."""
    samples, own_rate = _read_sound(medium)
    return resample(samples, own_rate, rate)
