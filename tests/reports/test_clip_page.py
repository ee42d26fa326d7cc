"""A clip's page: complete, self-contained, small, its numbers the result's, and deaf to hostile names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from html_checks import Page
from media_makers import SoundSpec, VideoSpec, tone, write_media
from network_makers import made_clip

from avgn_edge.media.array_clip import ArrayClip
from avgn_edge.report.clip_page import EXITS, clip_page
from avgn_edge.report.html import milliseconds, percent
from avgn_edge.report.pictures import COLUMNS, palette, spectrogram
from avgn_edge.report.record import record
from avgn_edge.runtime.options import Options

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x00\x1b[2J\u202e\udcff\n&amp;"


def tall(recognizer):
    frames = np.random.default_rng(0).integers(0, 256, (8, 640, 360, 3)).astype(np.uint8)
    return record(recognizer, lambda: ArrayClip(frames, duration_s=8.0), Options())


def one_frame(recognizer):
    return record(recognizer, lambda: ArrayClip(np.full((1, 90, 160, 3), 99, np.uint8), duration_s=0.0), Options())


KINDS = {
    "everything": lambda r: record(r, lambda: made_clip(3), Options()),
    "some sound": lambda r: record(r, lambda: made_clip(4, "some"), Options()),
    "no sound": lambda r: record(r, lambda: made_clip(3, "none"), Options()),
    "no video": lambda r: record(r, lambda: made_clip(3, video=False), Options()),
    "listening alone": lambda r: record(r, lambda: made_clip(3), Options.of("60mflops", top=1)),
    "in time": lambda r: record(r, lambda: made_clip(3), Options.of("20s")),
    "tall": tall,
    "one frame": one_frame,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_every_kind_of_clip_is_whole_and_needs_nothing(recognizer, kind):
    told = KINDS[kind](recognizer)
    page = Page(clip_page(told))
    result = told.result
    assert f"{result.label} {percent(result.score)}" in page.text
    assert EXITS[result.exit] in page.text
    for warning in result.warnings:
        assert f"Warning: {warning}" in page.text
    assert len(page.all("rect", stroke="#fff")) == len(page.all("use")) == result.budget.looks
    assert "http" not in page.text
    assert page.scripts == []


def test_numbers_are_the_result_s(told):
    page, result = Page(clip_page(told)), told.result
    assert f"{result.budget.spent_gflops:.3f} GFLOPs" in page.text
    assert milliseconds(result.timing_ms.total) in page.text
    assert milliseconds(result.timing_ms.decode) in page.text
    for role in told.roles:
        assert role.title in page.text
        assert milliseconds(result.timing_ms.stages[role.timing]) in page.text
        assert f"{told.gflops.get(role.name, 0):.3f}" in page.text
    for best in result.top:
        assert f"{best.label} {percent(best.score)}" in page.text
    for step in told.steps:
        assert percent(float(step.probabilities.max())) in page.text
    for moment in result.moments:
        assert moment.saliency is None or f"{moment.saliency:.3f}" in page.text
        if moment.box is not None:
            x, y, width, height = (f"{value:g}" for value in moment.box)
            assert len(page.all("rect", x=x, y=y, width=width, height=height)) == 2
            assert len(page.all("svg", viewbox=f"{x} {y} {width} {height}")) == 1
    assert {result.device, result.precision, result.model} <= set(page.text.split())


def test_the_budget_s_share_is_of_what_was_given(recognizer):
    told = record(recognizer, lambda: made_clip(3), Options.of("100mflops"))
    spent = told.result.budget.spent_gflops
    assert f"{percent(spent / 0.1)} of the compute that it was given" in Page(clip_page(told)).text


def test_hostile_names_and_labels_stay_text(told):
    result = told.result
    label = HOSTILE + " שלום 犬"
    labels = tuple(label if known == result.label else known for known in told.labels)
    moments = tuple(replace(moment, label=label) for moment in result.moments)
    top = tuple(replace(best, label=label) for best in result.top)
    changed = replace(
        result, clip=HOSTILE, label=label, top=top, moments=moments, model=HOSTILE, device=HOSTILE, warnings=(HOSTILE,)
    )
    text = clip_page(replace(told, result=changed, labels=labels), note=HOSTILE, data=HOSTILE, back=("a.html", HOSTILE))
    page = Page(text)
    assert not page.all("script")
    assert len(page.all("img")) == len(Page(clip_page(told)).all("img"))
    text.encode("utf-8")  # no half of a character
    assert not {"\x00", "\x1b", "\u202e"} & set(text)
    assert "alert(1)" in page.text
    assert "שלום 犬" in page.text


def test_joined_letters_and_emoji_are_left_alone(told):
    label = "می\u200cخواهم 👩\u200d🚒"
    page = Page(clip_page(replace(told, result=replace(told.result, label=label))))
    assert label in page.text


def test_a_page_of_a_thousand_classes_and_sixteen_looks_stays_small(told):
    rng = np.random.default_rng(1)
    frames = {index: rng.integers(0, 256, (224, 224, 3)).astype(np.uint8) for index in range(16)}  # the worst to encode
    moments = tuple(
        replace(moment, rank=moment.index, glanced=True, box=(8.0, 7.5, 80.0, 60.0)) for moment in told.result.moments
    )
    scores = rng.dirichlet(np.ones(1_000)).astype(np.float32)
    steps = (
        *(replace(step, probabilities=scores) for step in told.steps[:2]),
        *(replace(told.steps[-1], moment=index, probabilities=rng.permutation(scores)) for index in range(16)),
    )
    labels = tuple(f"class number {index} of many" for index in range(1_000))
    result = replace(told.result, moments=moments, probabilities=scores)
    text = clip_page(replace(told, result=result, frames=frames, steps=steps, labels=labels))
    Page(text)
    assert len(text.encode()) <= 1_500_000
    assert len(text.encode()) >= 300_000  # it did hold sixteen frames


def test_a_turned_video_is_shown_upright(recognizer, tmp_path):
    sound = SoundSpec(tone(440, 4.0, 16_000), 16_000)
    path = write_media(tmp_path / "turned.mp4", VideoSpec(rotation=90), sound)
    told = record(recognizer, lambda: recognizer.open_clip(path), Options())
    page = Page(clip_page(told))
    assert told.display_size == (96, 128)
    assert told.shown == pytest.approx((6, 8, 84, 112))
    assert "96 × 128" in page.text
    assert len(page.all("svg", viewbox="6 8 84 112")) == told.result.budget.looks > 0


def test_the_spectrogram_has_gaps_where_nothing_was_heard(recognizer):
    told = record(recognizer, lambda: made_clip(4, "some"), Options())
    picture = spectrogram(told)
    width = COLUMNS // 16  # of a second, of sixteen: a moment's sound fills its column but for a hair
    for index, heard in enumerate(told.heard):
        middle = picture[:, round((index + 0.5) * width) - 20 : round((index + 0.5) * width) + 20]
        assert (middle > 0).all() if heard else not middle.any()
    assert palette()[0, 3] == 0
    assert (palette()[1 : picture.max() + 1, 3] == 255).all()


def test_low_tones_are_at_the_bottom_of_the_spectrogram(recognizer):
    def loudest(hertz):
        waveform = tone(hertz, 16.0, 16_000)[:, 0]
        return int(
            spectrogram(record(recognizer, lambda: ArrayClip(None, waveform, 16_000), Options())).sum(axis=1).argmax()
        )

    assert loudest(300) > loudest(1_000) > loudest(4_000)


def test_sound_of_an_hour_is_widened_and_that_is_said(recognizer):
    hour = ArrayClip(np.zeros((16, 32, 32, 3), np.uint8), tone(440, 3_600, 1_000)[:, 0], 1_000)
    told = record(recognizer, lambda: hour, Options())
    drawn = (spectrogram(told) > 0).any(axis=0).mean()
    assert 0.25 < drawn < 0.35
    assert "drawn wider than it is" in Page(clip_page(told)).text
