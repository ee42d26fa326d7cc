"""`Recognizer`: a bundle on a device, and clips in, answers out.

The order of its imports is the order of a cold start: the bundle's files are checked in threads while NumPy and the
engine are imported, and the graphs are opened in another while PyAV and the step loop are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from avgn_edge._base.arguments import shown
from avgn_edge._base.errors import ArgumentError, BundleError, ClipError
from avgn_edge._base.processes import usable_cores
from avgn_edge.bundle.reader import Bundle, check_network, packaged_bundle_path
from avgn_edge.engines.select import choose_precision, open_engine
from avgn_edge.media.clip import Clip, ClipWrapper
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger, Run
from avgn_edge.runtime.front_end import frame_geometry, open_for
from avgn_edge.runtime.options import Options, Sampling

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.engines.base import DeviceReport, Engine
    from avgn_edge.runtime.highlights import Highlights, HighlightSettings
    from avgn_edge.runtime.result import Result
    from avgn_edge.runtime.sessions import GraphRunner, Sessions
    from avgn_edge.runtime.strategy import Strategy
    from avgn_edge.runtime.stream.events import EventSettings
    from avgn_edge.runtime.stream.live_stream import Stream

    File = str | os.PathLike[str] | bytes | BinaryIO
    Source = File | Clip

__all__ = ["Recognizer", "Sampling"]

A_CLIP = "give a path, the bytes of a file, a binary file object or a clip"


class Recognizer:
    """Classifies clips with one bundle on one device.

    Safe to use from several threads, and a context manager. Open one with `Recognizer.open`.
    """

    def __init__(
        self, bundle: Bundle, engine: Engine, precision: str, threads: int | None = None, hwaccel: str = "none"
    ) -> None:
        from avgn_edge.runtime.sessions import Sessions  # noqa: PLC0415
        from avgn_edge.runtime.warm_up import WarmMedia  # noqa: PLC0415

        _check_preprocessing(bundle)
        self.bundle = bundle
        self.precision = precision
        self._engine = engine
        self._decoders, self._hwaccel = threads or usable_cores(), hwaccel
        self._sessions: Sessions | None = Sessions(bundle, engine, precision, threads)
        self._pace = LatencyModel()
        self._media = WarmMedia(bundle.manifest.preprocessing)
        self._latest: Strategy | None = None

    def __repr__(self) -> str:
        closed = ", closed" if self._sessions is None else ""
        return f"<Recognizer {self.manifest.name} in {self.precision} on {self._engine.device}{closed}>"

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | Bundle | None = None,
        device: str = "auto",
        precision: str = "auto",
        *,
        threads: int | None = None,
        hwaccel: str = "none",
    ) -> Self:
        """Open a bundle on a device.

        Args:
            bundle: A bundle's folder, or an opened one; None is the packaged one.
            device: "auto", "cpu", "cuda[:N]", "tensorrt[:N]" or "openvino[:CPU|GPU|NPU|AUTO]". One that is named is
                used, or it is an error.
            precision: "auto", "fp32", "fp16" or "int8", of those that the bundle holds.
            threads: CPU threads; None is as many as the cores that this process may use.
            hwaccel: What decodes video: "none" is the CPU, "auto" whatever works, or a device that FFmpeg knows.

        Returns:
            The recognizer, to be closed: it is a context manager.

        Raises:
            BundleError: The bundle cannot be trusted, or does not fit together.
            DeviceError: The device or the precision cannot be used.
            ArgumentError: An argument is of a wrong type.
        """
        if not isinstance(hwaccel, str):
            raise ArgumentError(f"hwaccel={shown(hwaccel)}", "it is not text", "give none, auto, or a device's name")
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(packaged_bundle_path() if bundle is None else bundle)
        check_network(bundle.manifest, bundle.path)
        with bundle.verifying():  # a bundle that was tampered with anywhere is not used at all
            engine = open_engine(device, threads=threads)
            chosen = choose_precision(precision, bundle.precisions_for(engine.int8_variant), engine.device)
            return cls(bundle, engine, chosen, threads, hwaccel)

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def _moments(self) -> int:
        return self.manifest.preprocessing.moments

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of `Result.probabilities`."""
        return self.manifest.labels

    @property
    def device(self) -> DeviceReport:
        """The device that was asked for, the one that is used, and why."""
        return self._engine.report

    def classify(
        self,
        source: Source,
        budget: str | Budget | None = None,
        *,
        top: int = 5,
        sampling: Sampling = "cheap",
        glances: int | None = None,
        looks: int | None = None,
        exit_risk: float | None = None,
        average: str | Budget | None = None,
    ) -> Result:
        """Classify a clip.

        Args:
            source: A path, the bytes of a file, a binary file object, or an opened `Clip`, which stays open.
            budget: The most that the clip may cost, as on the command line: "6gflops", "250mflops", "80ms", "1.5s" or
                "none". GFLOPs are 10^9 multiply-accumulates, and are never exceeded; times include decoding.
            top: How many classes to list, 1 or more.
            sampling: Which frame of each moment is taken: "cheap" is the one that is cheapest to decode, "centre" the
                one in its middle.
            glances: T_G, how many moments to glance at, 0 to all of them; None is the bundle's own.
            looks: k, how many moments to look at closely at the most, 1 to all of them; None is the bundle's own.
            exit_risk: The share of clips, 0 or more and less than 1, in which stopping early may change the answer;
                for a calibrated bundle.
            average: The compute to spend on a clip in the mean, such as "1gflops"; for a calibrated bundle.

        Returns:
            The answer, with what it cost, where was looked, and why it ended.

        Raises:
            ClipError: The clip cannot be read, or gives no finite numbers.
            BudgetError: The budget cannot be read, or buys no answer.
            BundleError: What is asked for needs a calibrated bundle.
            DeviceError: The device failed.
            ArgumentError: An option is of a wrong type or out of range, or the recognizer is closed.
        """
        options = Options.of(
            budget,
            top=top,
            sampling=sampling,
            glances=glances,
            looks=looks,
            exit_risk=exit_risk,
            average=average,
        )
        return self.answer(source, options)

    def steps(
        self,
        source: Source,
        budget: str | Budget | None = None,
        *,
        top: int = 5,
        sampling: Sampling = "cheap",
        glances: int | None = None,
        looks: int | None = None,
        exit_risk: float | None = None,
        average: str | Budget | None = None,
    ) -> Iterator[Result]:
        """Classify a clip, and yield the answer after each step.

        What is asked is checked at once; the clip is opened, and a time budget begins, with the first step.

        Args:
            source: As for `classify`, and so are the others.
            budget: As for `classify`.
            top: As for `classify`.
            sampling: As for `classify`.
            glances: As for `classify`.
            looks: As for `classify`.
            exit_risk: As for `classify`.
            average: As for `classify`.

        Yields:
            The answer so far: `exit` is None while it goes on, and set in the last one.

        Raises:
            ClipError: As `classify`, and so are the others: BudgetError, BundleError, DeviceError, ArgumentError.
        """
        options = Options.of(
            budget,
            top=top,
            sampling=sampling,
            glances=glances,
            looks=looks,
            exit_risk=exit_risk,
            average=average,
        )
        return self.answers(source, options)

    def answer(self, source: Source, options: Options) -> Result:
        """Classify a clip with options that were read before: of many clips, once for all of them.

        Args:
            source: As for `classify`.
            options: Of `Options.of`, which takes what `classify` does.

        Returns:
            The answer.

        Raises:
            ClipError: As `classify`, and so are the others: BudgetError, BundleError, DeviceError, ArgumentError.
        """
        _check_source(source)
        (answer,) = self._run(source, self.strategy(options), self._open_sessions(), last_only=True)
        return answer

    def answers(self, source: Source, options: Options) -> Iterator[Result]:
        """Classify a clip with options that were read before, and yield the answer after each step.

        Args:
            source: As for `classify`.
            options: Of `Options.of`.

        Yields:
            As `steps`.

        Raises:
            ClipError: As `classify`, and so are the others: BudgetError, BundleError, DeviceError, ArgumentError.
        """
        _check_source(source)
        return self._run(source, self.strategy(options), self._open_sessions())

    def strategy(self, options: Options) -> Strategy:
        """Resolve options with this bundle and precision: an error comes before any clip is read.

        Args:
            options: Of `Options.of`.

        Returns:
            What each clip is gone about with, and notes of what a user should know.

        Raises:
            ArgumentError: There are more glances or looks than moments.
            BudgetError: The budget does not cover listening, or the options contradict each other.
            BundleError: What is asked for needs a calibrated bundle.
        """
        from avgn_edge.runtime.strategy import strategy  # noqa: PLC0415

        latest = self._latest
        if latest is None or latest.options != options:  # of a batch, all clips have the same
            latest = self._latest = strategy(self.manifest, self.precision, options)
        return latest

    def _run(
        self, source: Source, chosen: Strategy, sessions: Sessions, *, last_only: bool = False
    ) -> Iterator[Result]:
        sessions.open_ahead(self.manifest.graph_names[:1])
        from avgn_edge.runtime.clip_run import ClipRun  # noqa: PLC0415 - PyAV comes while the first graph is opened

        if chosen.options.budget.seconds is not None:
            sessions.measure(self._pace)
            self._media.warm(self._pace)
        run = ClipRun(self.manifest, sessions, self._pace, chosen, self._engine.device, self.precision)
        yield from run.answers(lambda: self._opened(source, chosen.options.sampling), last_only=last_only)

    def classify_frames(
        self,
        frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | None,
        waveform: NDArray[np.generic] | None = None,
        sample_rate: int | None = None,
        times: Sequence[float] | NDArray[np.floating] | None = None,
        budget: str | Budget | None = None,
        *,
        top: int = 5,
        sampling: Sampling = "cheap",
        glances: int | None = None,
        looks: int | None = None,
        exit_risk: float | None = None,
        average: str | Budget | None = None,
    ) -> Result:
        """Classify what a program's own camera and microphone gave.

        Args:
            frames: uint8 [n, H, W, 3], RGB, upright; None without pictures.
            waveform: [samples], [samples, channels], or [channels, samples] where the shape leaves no doubt: floats
                ±1, or integers of full scale; None without sound.
            sample_rate: Of the waveform, in Hz.
            times: Seconds at which each frame is first shown, from the waveform's first sample on, never falling; None
                spreads them evenly.
            budget: As for `classify`, and so are the others; `sampling` changes nothing, for no frame in memory is
                cheaper than another.
            top: As for `classify`.
            sampling: As for `classify`.
            glances: As for `classify`.
            looks: As for `classify`.
            exit_risk: As for `classify`.
            average: As for `classify`.

        Returns:
            The answer.

        Raises:
            ClipError: The arrays are no clip; the others as `classify`.
        """
        options = Options.of(
            budget,
            top=top,
            sampling=sampling,
            glances=glances,
            looks=looks,
            exit_risk=exit_risk,
            average=average,
        )
        chosen, sessions = self.strategy(options), self._open_sessions()
        from avgn_edge.media.array_clip import ArrayClip  # noqa: PLC0415 - imports PyAV

        given = self.manifest.preprocessing
        with ArrayClip(
            frames,
            waveform,
            sample_rate,
            times,
            count=given.moments,
            geometry=frame_geometry(given),
            front_end=given.sound,
        ) as clip:
            (answer,) = self._run(clip, chosen, sessions, last_only=True)
            return answer

    def stream(
        self,
        budget: str | Budget | None = None,
        *,
        every_s: float | None = None,
        top: int = 5,
        events: EventSettings | None = None,
        epoch_s: float | None = None,
    ) -> Stream:
        """Watch a stream: frames and samples in as they come, an answer for each moment and events out.

        Args:
            budget: What a second of the stream may cost, such as "1gflops" or "50ms"; None is no limit.
            every_s: Seconds from moment to moment, 0.05 to 60; None is 0.6.
            top: How many classes to list.
            events: When a class begins and ends; None is the default.
            epoch_s: What second 0 of the stream is in seconds since 1970, for events in UTC; None for one not live.

        Returns:
            The stream: push frames and sound into it.

        Raises:
            BudgetError: The budget does not cover listening, or `every_s` is out of range.
            ArgumentError: An argument is of a wrong type.
        """
        from avgn_edge.runtime.stream import EVERY_S, EventSettings, Stream, StreamSettings  # noqa: PLC0415 - imports PyAV

        # What is asked is checked before graphs are opened for it.
        asked = StreamSettings(
            Budget.parse(budget),
            EVERY_S if every_s is None else every_s,
            top=top,
            events=EventSettings() if events is None else events,
            epoch_s=epoch_s,
        )
        sessions = self._open_sessions()
        if asked.budget.seconds is not None:
            sessions.measure(self._pace)
        else:  # a stream does not wait while graphs are opened
            sessions.warm()
        return Stream(self.manifest, self._account, self.strategy(Options()).rules, asked)

    def highlights(
        self,
        source: File,
        budget: str | Budget | None = None,
        *,
        top: int = 5,
        settings: HighlightSettings | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Highlights:
        """Find the salient segments of a long video.

        Args:
            source: A path, the bytes of a file, or a binary file object.
            budget: Of compute, for the whole video, such as "90gflops"; None is a share of glancing at one frame a
                second, and "none" no limit.
            top: How many segments, the best ones, 1 or more.
            settings: `avgn_edge.runtime.highlights.HighlightSettings`; None is the default.
            progress: Told how many of how many moments are done.

        Returns:
            The segments, the best first, and what is known of every moment.

        Raises:
            ClipError: The video cannot be read.
            BudgetError: The budget is of time, or does not reach the first saliency.
            ArgumentError: An argument is of a wrong type.
        """
        from avgn_edge.runtime.highlights.search import find  # noqa: PLC0415 - imports PyAV

        self._open_sessions()
        return find(
            source,
            self.manifest,
            self._account,
            budget,
            top=top,
            settings=settings,
            progress=progress,
            device=self.device.used,
            precision=self.precision,
        )

    def _account(self, budget: Budget) -> tuple[GraphRunner, Ledger]:
        """The graphs, and a new ledger that their runs are charged to: for what is no clip of 16 moments."""
        return self._open_sessions().account(budget, self._pace)

    def save_profile(self) -> Path | None:
        """Measure what each graph takes on this device, with care, and keep it for time budgets.

        Returns:
            The profile's file, or None where the user's cache cannot be written.
        """
        return self._open_sessions().save_profile(self._pace)

    def alone(self, runs: Iterable[Run]) -> float:
        """Run graphs again on made-up inputs, one after the other and nothing between them.

        Args:
            runs: Which, and on how many items, as `Result.runs` says.

        Returns:
            The seconds that they take together.
        """
        return self._open_sessions().alone(runs)

    def close(self) -> None:
        """Let the sessions go; the recognizer cannot be used afterwards."""
        if self._sessions is not None:
            self._sessions.close()
        self._sessions = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open_clip(self, source: File, sampling: Sampling = "cheap") -> Clip:
        """Open a clip as `classify` does.

        Args:
            source: A path, the bytes of a file, or a binary file object.
            sampling: As for `classify`.

        Returns:
            The clip, to be closed: it is a context manager.

        Raises:
            ClipError: It cannot be read.
        """
        return open_for(
            self.manifest.preprocessing,
            source,
            sampling=sampling,
            decoders=self._decoders,
            hwaccel=self._hwaccel,
        )

    def _open_sessions(self) -> Sessions:
        if self._sessions is None:
            raise ArgumentError("this recognizer", "it is closed", "open another, or use it before it is closed")
        return self._sessions

    def _opened(self, source: Source, sampling: Sampling) -> tuple[Clip, bool]:
        """The clip, and whether it is ours to close."""
        if not _is_clip(source):
            return self.open_clip(cast("str | bytes | BinaryIO", source), sampling), True
        clip = source if isinstance(source, Clip) else ClipWrapper(cast("Clip", source))
        if len(clip.moments) != self._moments:
            why = f"it has {len(clip.moments)} moments, the bundle wants {self._moments}"
            raise ClipError(clip.name, why, "open it with Recognizer.open_clip, or make it with that `count`")
        return clip, False


def _check_source(source: object) -> None:
    """ClipError for what is no kind of clip. Whether it is one that can be read is seen when it is opened."""
    if isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(source, "read"):
        return
    if _is_clip(source):
        return
    what = f"a clip of type {type(source).__name__}"
    if isinstance(source, (list, tuple)):
        raise ClipError(what, "one is classified at a time", A_CLIP)
    if hasattr(source, "shape"):
        raise ClipError(what, "it is an array", "give arrays to classify_frames")
    raise ClipError(what, "it cannot be read", A_CLIP)


def _is_clip(source: object) -> bool:
    return all(hasattr(source, name) for name in ("moments", "windows", "frames"))


def _check_preprocessing(bundle: Bundle) -> None:
    """Refuse a bundle whose front end is not as it is built here."""
    given = bundle.manifest.preprocessing
    if (given.sample_rate, given.window_samples) != (given.sound.sample_rate, given.sound.window_samples):
        raise BundleError(
            str(bundle.path), "its audio front end is not one that this version has", "install a newer avgn-edge"
        )
