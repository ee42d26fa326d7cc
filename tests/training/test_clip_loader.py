"""The loader gives the same batches to any number of workers and from any batch on, and names what it leaves out."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone, write_media  # noqa: E402

from avgn_edge._base.errors import DataError  # noqa: E402
from avgn_edge.data.datasets import DataSet, LabelledClip  # noqa: E402
from avgn_edge.media import open_clip  # noqa: E402
from avgn_edge.media.front_ends import YAMNET  # noqa: E402
from avgn_edge.training import clip_loader  # noqa: E402
from avgn_edge.training.batches import Augmentation  # noqa: E402
from avgn_edge.training.clip_loader import (  # noqa: E402
    ClipMoments,
    Failure,
    LoadedBatch,
    Order,
    ShuffledOrder,
    draw_times,
    epoch_batches,
    make_loader,
)

PLAIN = Augmentation(scales=(1.0,), flip=False, time_mask=0, band_mask=0)
"""Random moments and nothing else."""
LABELS = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six clips of 4 s whose frames say their number, each with a tone of its own."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(6):
        sound = SoundSpec(tone(300 * (i + 1), 4, 16_000), rate=16_000)
        write_media(folder / f"{i}.mp4", VideoSpec(size=(64, 64), times=[k / 10 for k in range(i, i + 40)]), sound)
    return folder


def labelled(path, label="ant", **segment):
    return LabelledClip(Path(path), Path(path).name, (label,), **segment)


def data_of(*clips, task="single-label"):
    return DataSet(Path("made"), tuple(clips), LABELS, task)


@pytest.fixture
def six(folder):
    return data_of(*(labelled(folder / f"{i}.mp4", LABELS[i % 3]) for i in range(6)))


def train_loader(data, batch=2, seed=0, workers=0, augmentation=Augmentation(), **processes):  # noqa: B008 - frozen
    order = ShuffledOrder(len(data.clips), batch, seed=seed, **processes)
    return make_loader(ClipMoments(data, augmentation, seed), order, workers)


def val_loader(data, batch=2):
    return make_loader(ClipMoments(data, None), Order(len(data.clips), batch))


def assert_same(batches, others):
    batches, others = list(batches), list(others)
    assert [batch.names for batch in batches] == [batch.names for batch in others]
    for loaded, other in zip(batches, others, strict=True):
        assert (loaded.batch is None) == (other.batch is None)
        if loaded.batch is not None:
            for part in ("frames", "spectrograms", "heard", "target"):
                assert torch.equal(getattr(loaded.batch, part), getattr(other.batch, part))


def test_workers_change_nothing_in_any_epoch_or_after_a_resumption(six):
    alone, helped = train_loader(six), train_loader(six, workers=2)
    # Epochs are read one after another from the same processes, one of them not to its end.
    assert_same(epoch_batches(alone, 0), epoch_batches(helped, 0))
    next(epoch_batches(helped, 1))
    assert_same(epoch_batches(alone, 2, start_batch=1), epoch_batches(helped, 2, start_batch=1))
    workers = helped._iterator._workers
    assert len(workers) == 2
    assert all(worker.is_alive() for worker in workers)


def test_batches_have_the_shapes_that_training_takes(six):
    batch = next(epoch_batches(train_loader(six, batch=3), 0)).batch
    assert batch.frames.shape == (3, 16, 224, 224, 3)
    assert batch.frames.dtype == torch.uint8
    assert batch.spectrograms.shape == (3, 16, 1, 96, 64)
    assert batch.spectrograms.dtype == torch.float32
    assert batch.heard.shape == (3, 16)
    assert batch.heard.dtype == torch.bool
    assert batch.target.dtype == torch.int64


def test_epochs_and_seeds_differ_and_are_repeated_exactly(six):
    clips = ClipMoments(six, Augmentation(), seed=1)
    first = clips[0, 0]
    again, later = ClipMoments(six, Augmentation(), seed=1)[0, 0], clips[1, 0]
    other = ClipMoments(six, Augmentation(), seed=2)[0, 0]
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.spectrograms, again.spectrograms)
    for different in (later, other):
        assert not np.array_equal(first.frames, different.frames)
        assert not np.array_equal(first.spectrograms, different.spectrograms)


def test_an_epoch_resumed_decodes_and_gives_what_was_left_of_it(six, monkeypatch):
    opened = []

    def counted(path, **options):
        opened.append(path.name)
        return open_clip(path, **options)

    whole = list(epoch_batches(train_loader(six), 3))
    monkeypatch.setattr(clip_loader, "open_clip", counted)
    rest = list(epoch_batches(train_loader(six), 3, start_batch=2))
    assert_same(whole[2:], rest)
    assert sorted(opened) == sorted(whole[2].names)
    assert list(epoch_batches(train_loader(six), 3, start_batch=3)) == []


def test_a_pass_leaves_the_global_generator_alone(six):
    before = torch.get_rng_state()
    next(epoch_batches(train_loader(six), 0))
    assert torch.equal(torch.get_rng_state(), before)


# --- the order

SHAPES = {
    "clips": st.integers(0, 60),
    "batch": st.integers(1, 7),
    "world": st.integers(1, 4),
    "epoch": st.integers(0, 9),
}


def passed(order, epoch, start=0):
    order.start_at(epoch, start)
    return list(order)


@given(**SHAPES, seed=st.integers(0, 2**40))
def test_processes_train_on_equally_many_whole_batches_and_no_clip_twice(clips, batch, world, epoch, seed):
    if clips < batch * world:
        with pytest.raises(DataError, match="do not fill a batch"):
            ShuffledOrder(clips, batch, seed=seed, world=world)
        return
    shares = [passed(ShuffledOrder(clips, batch, seed=seed, rank=rank, world=world), epoch) for rank in range(world)]
    assert {len(share) for share in shares} == {clips // (batch * world)}
    keys = [key for share in shares for keys in share for key in keys]
    assert {len(keys) for share in shares for keys in share} == {batch}
    assert len(set(keys)) == len(keys)
    assert {key[0] for key in keys} == {epoch}
    assert {key[1] for key in keys} <= set(range(clips))
    # Every step takes the clips that one process with a larger batch would.
    together = passed(ShuffledOrder(clips, batch * world, seed=seed), epoch)
    assert [list(chain(*step)) for step in zip(*shares, strict=True)] == together


@given(**SHAPES)
def test_processes_validate_every_clip_once(clips, batch, world, epoch):
    orders = [Order(clips, batch, rank=rank, world=world) for rank in range(world)]
    shares = [passed(order, epoch) for order in orders]
    assert sorted(key[1] for share in shares for keys in share for key in keys) == list(range(clips))
    for order, share in zip(orders, shares, strict=True):
        assert len(order) == len(share)
        assert order.clips_an_epoch == sum(len(keys) for keys in share)


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 50), start=st.integers(0, 8))
def test_the_order_is_drawn_from_seed_and_epoch_and_may_start_anywhere(seed, epoch, start):
    whole = passed(ShuffledOrder(40, 5, seed=seed), epoch)
    assert passed(ShuffledOrder(40, 5, seed=seed), epoch, start) == whole[start:]
    places = [[key[1] for key in keys] for keys in whole]
    for other_seed, other_epoch in ((seed, epoch + 1), (seed + 1, epoch)):
        other = passed(ShuffledOrder(40, 5, seed=other_seed), other_epoch)
        assert [[key[1] for key in keys] for keys in other] != places


@pytest.mark.parametrize(("epoch", "batch"), [(0, 4), (0, -1), (-1, 0)])
def test_a_start_outside_the_epoch_is_refused(epoch, batch):
    with pytest.raises(ValueError, match="epochs have 3"):
        ShuffledOrder(6, 2).start_at(epoch, batch)


# --- one clip


@given(st.integers(0, 2**32), st.just(0.0) | st.floats(1e-6, 1e6))
def test_moments_are_drawn_one_a_bin(seed, duration):
    times = draw_times(np.random.default_rng(seed), duration)
    edges = np.arange(17) * (duration / 16)
    assert len(times) == 16
    assert (np.array(times) >= edges[:-1] * (1 - 1e-9)).all()
    assert (np.array(times) <= edges[1:] * (1 + 1e-9)).all()
    latest = Mock(random=lambda count: np.full(count, np.nextafter(1.0, 0.0)))
    assert draw_times(latest, duration)[-1] <= duration


def test_training_sees_the_frames_of_moments_all_over_the_bins(six):
    clips = ClipMoments(six, PLAIN)
    seen = np.array([[number_of(pixels, resize=224) for pixels in clips[epoch, 0].frames] for epoch in range(8)])
    with open_clip(six.clips[0].path) as clip:
        edges = np.arange(17) * (clip.duration_s * 10 / 16)  # in frames: each bin holds two or three
    assert (seen >= np.floor(edges[:-1] - 1e-6)).all()
    assert (seen <= edges[1:]).all()
    assert len(np.unique(seen)) > 30


def test_validation_sees_what_inference_does_in_every_epoch(six):
    clips = ClipMoments(six, None, seed=4)
    with open_clip(six.clips[1].path) as clip:
        frames, (windows, heard) = clip.frames(range(16)), clip.windows()
    for epoch in (0, 5):
        sample = clips[epoch, 1]
        np.testing.assert_array_equal(sample.frames, np.stack(frames))
        np.testing.assert_array_equal(sample.spectrograms, clip_loader.log_mel(windows))
        np.testing.assert_array_equal(sample.heard, heard)


@pytest.mark.parametrize("augmentation", [None, PLAIN])
def test_a_segment_shows_and_says_nothing_from_outside_it(folder, tmp_path, augmentation):
    loud_outside = np.concatenate([tone(440, 1, 16_000), np.zeros((16_000, 1), np.float32), tone(440, 2, 16_000)])
    path = write_media(
        tmp_path / "a.mkv", VideoSpec(size=(64, 64)), SoundSpec(loud_outside, 16_000, "flac", "s16"), "matroska"
    )
    sample = ClipMoments(data_of(labelled(path, start_s=1.0, end_s=2.0)), augmentation)[0, 0]
    numbers = [number_of(pixels, resize=224 if augmentation else 256) for pixels in sample.frames]
    assert min(numbers) >= 10
    assert max(numbers) <= 19
    assert len(set(numbers)) >= 8
    assert not sample.heard.any()
    whole = ClipMoments(data_of(labelled(path)), augmentation)[0, 0]
    assert whole.heard.any()


def test_a_clip_without_sound_is_legal_and_unheard(tmp_path):
    path = write_media(tmp_path / "mute.mp4", VideoSpec(size=(64, 64)))
    for augmentation in (None, Augmentation(gain_db=6.0)):
        sample = ClipMoments(data_of(labelled(path)), augmentation)[0, 0]
        assert not sample.heard.any()
        np.testing.assert_allclose(sample.spectrograms, YAMNET.silence, atol=1e-5)
        assert sample.warnings == ()


def test_targets_are_rows_of_the_data_sets_labels(folder):
    path = folder / "0.mp4"
    assert ClipMoments(data_of(labelled(path, "cat")), None)[0, 0].target == 2
    several = LabelledClip(path, "0", ("cat", "ant"))
    target = ClipMoments(data_of(several, task="multi-label"), None)[0, 0].target
    np.testing.assert_array_equal(target, np.array([1, 0, 1], np.float32))
    assert target.dtype == np.float32


def test_labels_that_do_not_fit_are_refused_before_anything_is_decoded(folder):
    with pytest.raises(DataError, match="'dog' is none of the data set's"):
        ClipMoments(data_of(labelled(folder / "0.mp4", "dog")), None)
    with pytest.raises(DataError, match="2 labels in a single-label data set"):
        ClipMoments(data_of(LabelledClip(folder / "0.mp4", "0", ("ant", "bee"))), None)


# --- what fails


def test_an_unreadable_clip_is_dropped_and_named(folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no media at all" * 20)
    clips = [labelled(folder / f"{i % 6}.mp4") for i in range(11)]
    clips.insert(1, labelled(tmp_path / "broken.mp4"))
    loaded = list(epoch_batches(val_loader(data_of(*clips), batch=3), 0))
    assert [len(one.names) for one in loaded] == [2, 3, 3, 3]
    assert [failure.name for failure in loaded[0].failures] == ["broken.mp4"]
    assert "broken.mp4" in loaded[0].failures[0].error
    assert loaded[0].names == ("0.mp4", "1.mp4")
    assert len(loaded[0].batch) == 2
    assert all(not one.failures for one in loaded[1:])


def test_a_clip_that_is_gone_and_one_without_video_are_failures(tmp_path):
    sound = write_media(tmp_path / "song.wav", None, SoundSpec(tone(440, 2, 16_000), 16_000, "pcm_s16le", "s16"), "wav")
    data = data_of(labelled(sound), labelled(tmp_path / "gone.mp4"))
    for augmentation in (None, Augmentation()):
        clips = ClipMoments(data, augmentation)
        assert isinstance(clips[0, 0], Failure)
        assert "no video" in clips[0, 0].error
        assert isinstance(clips[0, 1], Failure)
        assert "gone.mp4" in clips[0, 1].error


def test_a_batch_of_failures_alone_is_none(tmp_path):
    loaded = clip_loader.collate([ClipMoments(data_of(labelled(tmp_path / "gone.mp4")), None)[0, 0]])
    assert loaded.batch is None
    assert loaded.names == ()
    assert len(loaded.failures) == 1
    assert loaded.pin_memory() is loaded


def test_more_failures_than_a_tenth_of_an_epoch_stop_it(folder, tmp_path):
    clips = [labelled(folder / f"{i % 6}.mp4") for i in range(8)]
    clips += [labelled(tmp_path / "gone.mp4"), labelled(tmp_path / "lost.mp4")]
    batches = epoch_batches(val_loader(data_of(*clips), batch=3), 0)
    assert len([next(batches) for _ in range(3)][-1].failures) == 1  # one of ten may
    with pytest.raises(DataError, match=r"2 of 10 clips: they cannot be used.*gone\.mp4.*lost\.mp4"):
        next(batches)


def test_what_was_not_right_with_a_clip_is_told(tmp_path):
    media = make_media(VideoSpec(size=(64, 64)), container="mp4", movflags="faststart")
    (tmp_path / "cut.mp4").write_bytes(media[: (media.index(b"mdat") + len(media)) // 2])  # half of the frames
    sample = ClipMoments(data_of(labelled(tmp_path / "cut.mp4")), None)[0, 0]
    loaded = clip_loader.collate([sample])
    assert any(text.startswith("cut.mp4: the video ends at") for text in loaded.warnings)


class Breaks:
    """Stands for a loader that fails; as a real one it reads an order."""

    batch_sampler = Order(4, 2)

    def __init__(self, text):
        self.text = text

    def __iter__(self):
        yield LoadedBatch(None, ())
        raise RuntimeError(self.text)


def test_a_worker_that_died_is_an_error_in_one_line():
    for text in (
        "DataLoader worker (pid 7) is killed by signal: Bus error.",
        "DataLoader worker (pid(s) 7) exited unexpectedly",
    ):
        with pytest.raises(DataError, match="a worker process died"):
            list(epoch_batches(Breaks(text), 0))


def test_a_fault_inside_a_worker_stays_what_it_is():
    with pytest.raises(RuntimeError, match="Caught RuntimeError"):
        list(epoch_batches(Breaks("Caught RuntimeError in DataLoader worker process 0."), 0))
