"""What was seen: each frame looked at with its box and patch, and the frames that were only glanced at."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from avgn_edge.report.html import name, percent, seconds, section, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.report.record import Record
    from avgn_edge.runtime.moments_table import MomentReport


QUALITY: Final = "4"
"""Of JPEG, libavcodec's scale: 2 is best, 31 worst. A frame of 224 pixels takes some 9 kB."""


def jpeg(pixels: NDArray[np.uint8], width: int | None = None, height: int | None = None) -> str:
    """Return `pixels`, uint8 [H, W, 3], RGB, as the data URI of a JPEG, resized where a size is given."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(width=width or frame.width, height=height or frame.height, format="yuvj420p")
    return _uri("image/jpeg", _encoded(frame, "mjpeg", {"qmin": QUALITY, "qmax": QUALITY}))


def palette_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return the data URI of a PNG of `indices`, uint8 [H, W], into `palette`, uint8 [256, 4], RGBA."""
    # PyAV's palettes are in libav's order of bytes, ARGB.
    ordered = np.ascontiguousarray(palette[:, [3, 0, 1, 2]])
    parts: Any = (np.ascontiguousarray(indices), ordered)  # PyAV's types do not know of palettes
    frame = av.VideoFrame.from_ndarray(parts, format="pal8")
    return _uri("image/png", _encoded(frame, "png", {}))


def _encoded(frame: av.VideoFrame, codec: str, options: dict[str, str]) -> bytes:
    context: av.VideoCodecContext = av.CodecContext.create(codec, "w")  # type: ignore[assignment]
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = Fraction(1, 25)  # a codec's formality
    context.thread_count = 1
    context.options = options
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


Box = tuple[float, float, float, float]
GLANCE_PIXELS = 144
"""The longer side of a frame that was only glanced at."""
THUMBNAIL_PIXELS = 96


def looks(record: Record) -> str:
    """Return the parts of the page with the frames; empty for a clip of which none was seen."""
    if record.shown is None:
        return ""
    return _looked(record, record.shown) + _glanced(record, record.shown)


def thumbnail(record: Record) -> str | None:
    """Return the data URI of a small picture of what was seen first of all looks, or glances; None of a clip unseen."""
    index = next((moment.index for moment in record.looked), next(iter(record.frames), None))
    if index is None or record.shown is None:
        return None
    return jpeg(record.frames[index], *_fitted(record.shown, THUMBNAIL_PIXELS))


def _looked(record: Record, shown: Box) -> str:
    if not record.looked:
        return ""
    cards = "".join(_card(record, moment, rank, shown) for rank, moment in enumerate(record.looked))
    about = "In the order of the looks. The frame is the part that the network sees, its outermost sixteenths left out"
    boxes = "; the box is where it looked, the patch what it saw there" if record.looked[0].box is not None else ""
    return section("Where it looked", f'<ol class="looks">{cards}</ol>', f"{about}{boxes}.")


def _card(record: Record, moment: MomentReport, rank: int, shown: Box) -> str:
    index = moment.index
    title = f"Look {rank + 1}: moment {index + 1} at {seconds(moment.time_s)}"
    after = next(step for step in record.steps if step.moment == index)
    best = int(after.probabilities.argmax())
    said = "" if moment.label is None else f"It says {name(moment.label)}, {percent(moment.score or 0.0)}. "
    frame = (
        f'<image id="frame-{index}" href="{jpeg(record.frames[index])}" {_rectangle(shown)} '
        'preserveAspectRatio="none"/>'
    )
    about, facts = f"The frame at {seconds(moment.time_s)}", []
    pictures = ""
    if moment.box is not None:
        x, y, width, height = moment.box
        place = f"x {x:.0f}, y {y:.0f}, {width:.0f} × {height:.0f} pixels"
        frame += "".join(
            f'<rect {_rectangle(moment.box)} fill="none" stroke="{colour}" stroke-width="{wide}" '
            'vector-effect="non-scaling-stroke"/>'
            for colour, wide in (("#fff", 5), ("#e8590c", 2.5))
        )
        about, facts = f"{about} with a box at {place}", [f"Box: {place}."]
        pictures = _figure(moment.box, "The patch inside the box, larger", f'<use href="#frame-{index}"/>', "Patch", 8)
    if moment.saliency is not None:
        facts.append(f"Saliency {moment.saliency:.2f}.")
    return (
        f'<li><h3>{title}</h3><div class="pair">'
        + _figure(shown, about, frame, "Frame", 11)
        + pictures
        + f"</div><p>{said}The answer after it: {name(record.labels[best])}, "
        f'{percent(float(after.probabilities[best]))}.</p><p class="soft">{" ".join(facts)}</p></li>\n'
    )


def _figure(view: Box, about: str, content: str, caption: str, rems: int) -> str:
    x, y, width, height = view
    return (
        f'<figure style="width:min(100%,calc({rems}rem*{width / height:.4f}))">'
        f'<svg viewBox="{x:g} {y:g} {width:g} {height:g}" role="img" aria-label="{about}">{content}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _glanced(record: Record, shown: Box) -> str:
    moments = record.result.moments
    seen = [moments[index] for index in record.frames if moments[index].rank is None]
    if not seen:
        return ""
    size = _fitted(shown, GLANCE_PIXELS)
    ratio = shown[2] / shown[3]
    rows = "".join(
        f'<li><img src="{jpeg(record.frames[moment.index], *size)}" alt="The frame at {seconds(moment.time_s)}" '
        f'width="{size[0]}" height="{size[1]}" style="width:min(100%,calc(7rem*{ratio:.4f}));height:auto">'
        f"Moment {moment.index + 1}, {seconds(moment.time_s)}"
        + ("" if moment.label is None else f": {name(moment.label)}, {percent(moment.score or 0.0)}")
        + "</li>\n"
        for moment in seen
    )
    return section("What it only glanced at", f'<ul class="seen">{rows}</ul>', "In the order of the glances.")


def _fitted(shown: Box, longest: int) -> tuple[int, int]:
    """The (width, height) of the shown part with a longer side of `longest`, at least 16 and even."""
    scale = longest / max(shown[2], shown[3])
    width, height = (max(16, 2 * round(side * scale / 2)) for side in shown[2:])
    return width, height


def _rectangle(box: Box) -> str:
    return " ".join(f'{text(key)}="{value:g}"' for key, value in zip(("x", "y", "width", "height"), box, strict=True))
