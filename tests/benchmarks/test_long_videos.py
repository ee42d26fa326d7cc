"""Long videos hold the episodes that their truth names, far apart, and are the same again for the same seed."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from avgn_edge.data.synth import Sources, clip_rng
from avgn_edge.data.synth.render import render_audio
from avgn_edge.media.opening import open_clip
from benchmarks.long_videos import LongSettings, encode_long, long_truth, plan_long

SHORT = LongSettings(duration=24.0, episodes=2, decoys=1, apart=3.0)


@pytest.fixture(scope="module")
def sources():
    return Sources.from_folders().split("val")


def test_episodes_lie_apart_inside_the_video_and_are_as_long_as_asked(sources):
    for seed in range(5):
        truth = long_truth(plan_long(clip_rng(seed, 0), sources))
        assert truth["duration"] == 1_200
        assert len(truth["episodes"]) == 5
        assert len(truth["decoys"]) == 15
        for episode in truth["episodes"]:
            assert 2.0 <= episode["end"] - episode["start"] <= 4.0001
            assert 20 <= episode["start"] < episode["end"] <= 1_180
            assert episode["seen"]
            assert episode["heard"]
            assert episode["class"] in sources.classes
        for one, other in pairwise(truth["episodes"]):
            assert other["start"] - one["end"] >= 20


def test_scenes_and_beds_fill_the_video_without_a_gap(sources):
    plan = plan_long(clip_rng(1, 0), sources)
    for parts in (plan.scenes, plan.beds):
        assert parts[0].start == 0
        assert parts[-1].end == plan.duration
        assert all(one.end == other.start for one, other in pairwise(parts))


def test_channels_are_drawn_as_asked_and_a_blurred_card_is_not_seen(sources):
    settings = LongSettings(channels=(("heard", 0.5), ("seen", 0.5)))
    plans = [plan_long(clip_rng(seed, 0), sources, settings) for seed in range(6)]
    episodes = [episode for plan in plans for episode in plan.episodes]
    assert {(episode.seen, episode.heard) for episode in episodes} == {(True, False), (False, True)}
    for episode in episodes:
        assert bool(episode.words) == episode.heard
        assert (episode.card.blur == 0) == episode.seen


def test_what_does_not_fit_is_refused(sources):
    with pytest.raises(ValueError, match="do not fit"):
        plan_long(clip_rng(0, 0), sources, LongSettings(duration=60.0))


def test_a_seed_gives_the_same_file_with_its_cards_and_words_in_their_times(sources, tmp_path):
    plans = [plan_long(clip_rng(3, 0), sources, SHORT) for _ in range(2)]
    hashes = []
    for index, plan in enumerate(plans):
        path = tmp_path / f"{index}.mp4"
        encode_long(plan, path)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    episode = plans[0].episodes[0]
    with open_clip(path, times=[episode.start + 0.5, episode.end - 0.5]) as clip:
        assert clip.duration_s == pytest.approx(24.0, abs=0.2)
        assert clip.display_size == (640, 360)
        assert clip.windows()[1].all()
    samples = render_audio(plans[0], 16_000)
    spoken = samples[round(episode.start * 16_000) : round(episode.end * 16_000)]
    assert np.abs(spoken).max() > 0.02
