"""What a user sees at a prompt: names, short texts, results that cannot be written."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from network_makers import REAL_COST, FakeBundle, FakeClip, FakeEngine, fake_manifest, made_clip

import avgn_edge
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.result import BudgetReport


@pytest.fixture(scope="module")
def recognizer():
    manifest = fake_manifest(REAL_COST)
    return Recognizer(FakeBundle(manifest), FakeEngine(manifest), "fp32")


@pytest.fixture(scope="module")
def result(recognizer):
    return recognizer.classify(FakeClip(np.ones(16, dtype=np.bool_)), top=3)


def test_packages_show_their_public_names_before_one_was_used():
    names = ("avgn_edge", "avgn_edge.media", "avgn_edge.runtime", "avgn_edge.runtime.highlights")
    code = f"""
from importlib import import_module
for package in map(import_module, {names}):
    assert set(package.__all__) <= set(dir(package)), (package, dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Recogniser"):
        avgn_edge.Recogniser  # noqa: B018


def test_a_result_is_one_short_line(recognizer, result):
    text = repr(result)
    assert "\n" not in text
    assert len(text) < 200
    for part in (result.label, f"{result.score:.2f}", f"{result.budget.spent_gflops:.2f}", str(result.exit)):
        assert part in text
    assert len(repr(recognizer)) < 100


def test_a_stream_s_update_is_one_short_line(recognizer):
    stream = recognizer.stream()
    updates = stream.push_audio(np.ones(32_000, np.float32), 16_000) + stream.finish()
    assert updates
    assert all("\n" not in repr(update) and len(repr(update)) < 200 for update in updates)


def test_probabilities_cannot_be_written(result):
    with pytest.raises(ValueError, match="read-only"):
        result.probabilities[0] = 1.0


def test_glances_have_one_name_beside_looks_and_the_json_keeps_its_own(result):
    report = result.budget
    assert (report.glances, report.glance) == (report.glance, result.to_dict()["budget"]["glance"])
    assert list(result.to_dict()["budget"]) == ["asked", "spent_gflops", "glance", "looks"]
    assert BudgetReport("none", 1.0, 8, 1).glances == 8


@pytest.mark.parametrize(
    "options", [{"glances": 2, "looks": 3}, {"budget": "2gflops"}, {"top": 2, "sampling": "centre"}]
)
def test_frames_in_memory_have_the_options_of_a_clip(recognizer, options):
    with made_clip(3) as clip:
        expected = recognizer.classify(clip, **options)
        frames, waveform = clip._frames, clip._pcm._waveform[:, 0]
    got = recognizer.classify_frames(frames, waveform, 16_000, **options)
    assert got.to_dict() | {"clip": "", "timing_ms": {}} == expected.to_dict() | {"clip": "", "timing_ms": {}}
