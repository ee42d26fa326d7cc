"""The six graphs of a bundle as functions on arrays: opened when first needed, charged to the ledger when they run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.reader import Bundle
from avgn_edge.cores import usable_cores
from avgn_edge.errors import ClipError, DeviceError
from avgn_edge.runtime import profile
from avgn_edge.runtime.engines.engine import Engine, Kept, OpensGraphs, Session
from avgn_edge.runtime.ledger import Ledger, Pace, Run
from avgn_edge.runtime.profile import ProfileKey

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Sessions:
    """The opened graphs of one bundle on one engine in one precision; safe to use from several threads."""

    def __init__(self, bundle: Bundle, engine: Engine, precision: str, threads: int | None = None) -> None:
        self._bundle = bundle
        self._cores = threads or usable_cores()
        self._engine = engine
        self._precision = precision
        self._opened: dict[str, Session] = {}
        self._locks = {graph: threading.Lock() for graph in bundle.manifest.graph_names}
        self._ahead = threading.Lock()
        self._asked: set[str] = set()
        self._opening: threading.Thread | None = None
        self._closed = False
        self._measuring = threading.Lock()
        self._measured = False

    def get(self, graph: str) -> Session:
        """The session of a graph, opened the first time it is asked for."""
        with self._locks[graph]:
            session = self._opened.get(graph)
            if session is None:
                path = self._bundle.graph_bytes_path(self._precision, graph, self._engine.int8_variant)
                session = self._opened[graph] = self._engine.open(path, self._precision)
            return session

    def open_ahead(self, graphs: Iterable[str]) -> None:
        """Open these graphs, unless they were asked for before, in their order, while the clip is read and heard.

        In a thread, where there is a core for it. A GPU's are left alone: what they take to open is not on this core.
        """
        used = self._engine.report.used
        with self._ahead:
            missing = tuple(graph for graph in graphs if graph not in self._asked)
            if missing and used in {"cpu", "openvino:CPU"} and self._cores > 1:
                self._asked.update(missing)
                self._opening = threading.Thread(
                    target=self._open_each, args=(missing, self._opening), name="avgn-edge-open"
                )
                self._opening.start()

    def _open_each(self, graphs: tuple[str, ...], before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        for graph in graphs:
            if self._closed:
                return
            try:
                self.get(graph)
            except Exception:  # noqa: BLE001 - whoever needs the graph opens it again, and is told
                return

    def close(self) -> None:
        """Open no more ahead."""
        self._closed = True

    @property
    def profile_key(self) -> ProfileKey:
        """What the device profile of these sessions is kept under."""
        used = self._engine.report
        engine = f"{used.engine} {used.engine_version}"
        return ProfileKey(used.used, self._precision, self._cores, self._bundle.hash, engine, profile.processor())

    @property
    def ready_sizes(self) -> tuple[int, ...]:
        """The numbers of moments that can be listened to at once without compiling for them; empty: any number."""
        return profile.SIZES if self._measured and self._engine.report.engine == "openvino" else ()

    def save_profile(self, pace: Pace) -> Path | None:
        """Measure the device profile anew, with care, and keep it; return its file, None where none can be written."""
        known = profile.measure(self, self._bundle.manifest.graphs[self._precision], careful=True)
        with self._measuring:
            pace.know(known)
            self._measured = True
        return profile.save(self.profile_key, known)

    def measure(self, pace: Pace) -> None:
        """Open and run every graph, once: a time budget must know what a step takes before the first.

        What it takes is read from the device profile; without one it is measured, and kept for the next time.
        """
        with self._measuring:
            if self._measured:
                return
            graphs, key = self._bundle.manifest.graphs[self._precision], self.profile_key
            known = profile.load(key)
            if known is not None and set(known) == set(graphs):
                profile.warm(self, graphs)
            else:
                known = profile.measure(self, graphs)
                profile.save(key, known)
            pace.know(known)
            self._measured = True


class Graphs:
    """Runs graphs for one clip. What is run is charged here and nowhere else.

    What only other graphs read is `Kept`: it stays on the device. Where `Kept` is taken, an array will do as well.
    """

    def __init__(self, sessions: OpensGraphs, ledger: Ledger) -> None:
        self._sessions = sessions
        self._ledger = ledger

    def listen(self, spectrograms: Floats) -> tuple[Floats, Floats]:
        """f_A and f_C^A: [n, 1, 96, 64] -> e^A [n, D_A], logits [C]."""
        run, items = self.listening(len(spectrograms)), len(spectrograms)
        if run.items > items:  # some twice: the features are the same, and the logits nearly
            spectrograms = spectrograms[np.arange(run.items) % items]
        out = self._run(run, {"spectrograms": spectrograms})
        return out["features"][:items], out["logits"][0]

    def listening(self, items: int) -> Run:
        """The run that listens to so many moments: against the clock, of a size that needs no compiling."""
        ready = self._sessions.ready_sizes if self._ledger.timed and isinstance(self._sessions, Sessions) else ()
        return Run("audio_encoder", min((size for size in ready if size >= items), default=items))

    def glance(self, frames: NDArray[np.uint8]) -> tuple[Kept, Floats, Floats]:
        """f_G and FC^G: uint8 [n, H, W, 3] -> e^G [n, D_G, h, w], its average [n, D_G], logits [n, C]."""
        out = self._run(Run("global_encoder", len(frames)), {"frames": frames}, keep=("feature_map",))
        return out["feature_map"], out["features"], out["logits"]

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """AV-TeST: [T, D_G], [T], [T, D_A], [T] -> s [T]."""
        inputs = {"visual": visual, "glanced": glanced, "audio": audio, "heard": heard}
        saliency: Floats = self._run(Run("saliency"), inputs)["saliency"]
        return saliency

    def locate(self, feature_map: Kept, audio: Floats, heard: Flags, state: Kept) -> tuple[Floats, Kept]:
        """AESPA and π: [1, D_G, h, w], [T, D_A], [T], [1, hidden] -> corner (x, y) [2] in frame pixels, next state."""
        inputs = {"feature_map": feature_map, "audio": audio, "heard": heard, "state": state}
        out = self._run(Run("spatial"), inputs, keep=("next_state",))
        return out["top_left"][0], out["next_state"]

    def look(self, patches: Floats) -> Kept:
        """f_L: [n, P, P, 3], RGB 0–255 -> e^L [n, D_L]."""
        kept: Kept = self._run(Run("local_encoder", len(patches)), {"patches": patches}, keep=("features",))["features"]
        return kept

    def classify(
        self, visual: Floats, local: Kept, audio: Floats, heard: Flags, state: Kept, seen: int
    ) -> tuple[Floats, Kept, Floats]:
        """ψ and f_C^AV: [1, D_G], [1, D_L], [T, D_A], [T], [1, dim] -> logits of p_t [C], next state, of p'_t [C]."""
        count = np.array([seen], dtype=np.int64)
        inputs = {"visual": visual, "local": local, "audio": audio, "heard": heard, "state": state, "seen": count}
        out = self._run(Run("classifier"), inputs, keep=("next_state",))
        return out["logits"][0], out["next_state"], out["moment_logits"][0]

    def _run(self, run: Run, inputs: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
        session = self._sessions.get(run.graph)
        try:
            with self._ledger.timing(run):
                out = session.run(inputs, keep)
        except DeviceError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise DeviceError(f"graph {run.graph}", f"it failed to run ({reason})", "see avgn-edge doctor") from error
        self._check_finite(run.graph, inputs, out)
        return out

    def _check_finite(self, graph: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """ClipError where a graph gave what is no number: it would be told as an answer.

        What stays on a device is only looked at when what was made of it is not finite.
        """
        bad = next((name for name, value in outputs.items() if not _is_finite(value)), None)
        if bad is None:
            return
        local = inputs.get("local")
        if local is not None and not isinstance(local, np.ndarray) and not _is_finite(local.numpy()):
            graph, bad = "local_encoder", "features"
        what_to_do = "try --precision fp32, and export the bundle again if that fails too"
        raise ClipError(f"graph {graph}", f"its {bad} are not finite numbers", what_to_do)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - what a graph gave
    """Whether all of an array's values are finite; what lies on a device is taken to be."""
    return not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())
