"""The table of "Digits in the wild", rule by rule, on plans alone."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from avgn_edge.data.synth import Variation, card_box, clip_rng, episode_at, plan_clip, truth_of
from avgn_edge.data.synth.clip_plan import HEIGHT, WIDTH


def test_same_seed_draws_the_same_plan(own_sources):
    first, again = (plan_clip(clip_rng(4, 7), own_sources, variation=Variation()) for _ in range(2))
    assert first == again
    assert first != plan_clip(clip_rng(4, 8), own_sources, variation=Variation())


def test_clips_last_10_to_24_s(plans):
    assert all(10 <= plan.duration <= 24 for plan in plans)
    assert all(plan.frames == pytest.approx(plan.duration * 15) for plan in plans)


def test_scenes_are_3_to_6_photographs_that_fill_the_clip(plans):
    assert {len(plan.scenes) for plan in plans} == {3, 4, 5, 6}
    for plan in plans:
        assert plan.scenes[0].start == 0
        assert plan.scenes[-1].end == plan.duration
        assert len({scene.photograph for scene in plan.scenes}) == len(plan.scenes)
        for before, after in zip(plan.scenes, plan.scenes[1:], strict=False):
            assert before.end == after.start > before.start


def test_evidence_is_one_or_two_episodes_apart(plans):
    assert {len(plan.episodes) for plan in plans} == {1, 2}
    for plan in plans:
        for episode in plan.episodes:
            assert 1.5 <= episode.end - episode.start <= 3 + 1e-9
            assert 0 <= episode.start < episode.end <= plan.duration + 1e-9
            assert episode.card.holds.group == plan.label
            assert all(word.recording.group == plan.label for word in episode.words)
        assert all(a.end < b.start or b.end < a.start for a, b in combinations(plan.episodes, 2))


def test_evidence_is_at_uniformly_random_times(plans):
    places = [e.start / (p.duration - (e.end - e.start)) for p in plans if len(p.episodes) == 1 for e in p.episodes]
    assert np.allclose(np.quantile(places, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.1)


def test_half_are_seen_and_heard_a_quarter_each_alone(plans):
    shares = Counter(plan.channel for plan in plans)
    assert shares["both"] / len(plans) == pytest.approx(0.5, abs=0.08)
    assert shares["heard"] / len(plans) == pytest.approx(0.25, abs=0.07)
    for plan in plans:
        for episode in plan.episodes:
            assert (episode.seen, episode.heard) == (plan.channel != "heard", plan.channel != "seen")
            assert bool(episode.words) == episode.heard
            assert bool(episode.card.blur) == (not episode.seen)


def test_cards_stay_whole_with_their_centres_in_the_middle_80_percent(plans):
    for plan in plans:
        for shown in (*plan.episodes, *plan.decoys):
            card = shown.card
            assert 48 <= card.size <= 96
            assert abs(card.angle) <= 15
            for x, y in (card.first, card.last):
                assert 0.1 * WIDTH - 1e-6 <= x <= 0.9 * WIDTH + 1e-6
                assert 0.1 * HEIGHT - 1e-6 <= y <= 0.9 * HEIGHT + 1e-6
            assert np.hypot(*np.subtract(card.last, card.first)) <= 16 * 3 + 1e-6
            for box in (card_box(card, shown.start, shown.end, t) for t in (shown.start, shown.end)):
                assert box[0] >= 0
                assert box[1] >= 0
                assert box[0] + box[2] <= WIDTH
                assert box[1] + box[3] <= HEIGHT


def test_cards_are_dark_on_light_or_light_on_dark(plans):
    cards = [episode.card for plan in plans for episode in plan.episodes]
    dark_ink = [sum(card.paper) > sum(card.ink) for card in cards]
    assert 0.35 < np.mean(dark_ink) < 0.65
    assert min(abs(sum(card.paper) - sum(card.ink)) / 3 for card in cards) > 75


def test_words_are_of_one_speaker_every_600_to_900_ms(plans):
    for plan in plans:
        for episode in plan.episodes:
            assert {word.recording.speaker for word in episode.words} <= {plan.speaker}
            at = [word.at for word in episode.words]
            assert all(episode.start <= moment < episode.end for moment in at)
            assert all(0.6 <= gap <= 0.9 for gap in np.diff(at))
            if at:
                assert at[0] == episode.start
                assert episode.end - at[-1] < 1.3


def test_decoys_hold_scribbles_or_nothing_and_never_hide_evidence(plans):
    assert {len(plan.decoys) for plan in plans} == {1, 2, 3}
    scribbled = [decoy.card.scribble is not None for plan in plans for decoy in plan.decoys]
    assert 0.5 < np.mean(scribbled) < 0.9
    for plan in plans:
        for decoy in plan.decoys:
            assert decoy.card.holds is None
            assert decoy.sound.recording.kind == "environment"
            assert 1.5 <= decoy.end - decoy.start <= 3 + 1e-9
            assert 0 <= decoy.start < decoy.end <= plan.duration + 1e-9
    met = 0
    for plan in plans:
        for episode in plan.episodes:
            for decoy in plan.decoys:
                for t in np.arange(max(episode.start, decoy.start), min(episode.end, decoy.end), 0.1):
                    a = card_box(episode.card, episode.start, episode.end, t)
                    b = card_box(decoy.card, decoy.start, decoy.end, t)
                    met += all(a[i] < b[i] + b[i + 2] and b[i] < a[i] + a[i + 2] for i in (0, 1))
    assert met == 0


def test_noise_and_encoding_vary_within_their_bounds(plans):
    below = [plan.noise_below_speech_db for plan in plans]
    assert 0 <= min(below) < 2
    assert 18 < max(below) <= 20
    assert all(30 <= plan.key_interval <= 120 for plan in plans)
    assert {plan.stereo_balance is None for plan in plans} == {True, False}
    assert len({plan.crf for plan in plans}) > 8
    for plan in plans:
        assert plan.beds[0].start == 0
        assert plan.beds[-1].end == plan.duration


def test_variation_changes_voices_and_objects_only_when_asked(own_sources, plans):
    assert all(word.speed == 1 for plan in plans for e in plan.episodes for word in e.words)
    varied = [plan_clip(clip_rng(2, index), own_sources, variation=Variation()) for index in range(40)]
    speeds = [word.speed for plan in varied for e in plan.episodes for word in e.words]
    assert min(speeds) < 0.95
    assert max(speeds) > 1.05
    assert len({episode.card.warp for plan in varied for episode in plan.episodes}) > 20


def test_episode_at_says_which_episode_a_moment_lies_in(plans):
    plan = plans[0]
    episode = plan.episodes[0]
    assert episode_at(plan, (episode.start + episode.end) / 2) is episode
    assert episode_at(plan, plan.duration + 1) is None


def test_truth_has_a_box_every_quarter_second(plans):
    truth = truth_of(plans[0])
    for told, episode in zip(truth["episodes"], plans[0].episodes, strict=True):
        assert told["start"] == pytest.approx(episode.start, abs=1e-4)
        assert len(told["boxes"]) == int(np.ceil((episode.end - episode.start) / truth["box_step"]))
        x, y, w, h = told["boxes"][0]
        assert (x + w / 2, y + h / 2) == pytest.approx(episode.card.first, abs=0.02)
    assert len(truth["decoys"]) == len(plans[0].decoys)
    assert truth["photographs"] == [scene.photograph.name for scene in plans[0].scenes]
