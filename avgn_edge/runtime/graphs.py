"""The six graphs of a bundle as functions on arrays: opened when first needed, charged to the ledger when they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.reader import Bundle
from avgn_edge.errors import DeviceError
from avgn_edge.runtime.engines.engine import Engine, Session
from avgn_edge.runtime.ledger import Ledger, Pace, Run

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Sessions:
    """The opened graphs of one bundle on one engine in one precision; safe to use from several threads."""

    def __init__(self, bundle: Bundle, engine: Engine, precision: str) -> None:
        self._bundle = bundle
        self._engine = engine
        self._precision = precision
        self._opened: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._measured = False

    def get(self, graph: str) -> Session:
        """The session of a graph, opened the first time it is asked for."""
        with self._lock:
            session = self._opened.get(graph)
            if session is None:
                path = self._bundle.graph_bytes_path(self._precision, graph)
                session = self._opened[graph] = self._engine.open(path)
            return session

    def measure(self, pace: Pace) -> None:
        """Open every graph and time a run of each, once: a time budget must know what a step takes before the first."""
        with self._measuring:
            if self._measured:
                return
            for graph, described in self._bundle.manifest.graphs[self._precision].items():
                inputs = {
                    spec.name: np.ones([1 if isinstance(size, str) else size for size in spec.shape], spec.dtype)
                    for spec in described.inputs
                }
                session = self.get(graph)
                session.run(inputs)  # the first run allocates
                started = time.perf_counter()
                session.run(inputs)
                pace.learn(Run(graph), time.perf_counter() - started)
            self._measured = True


class Graphs:
    """Runs graphs for one clip. What is run is charged here and nowhere else."""

    def __init__(self, sessions: Sessions, ledger: Ledger) -> None:
        self._sessions = sessions
        self._ledger = ledger

    def listen(self, spectrograms: Floats) -> tuple[Floats, Floats]:
        """f_A and f_C^A: [n, 1, 96, 64] -> e^A [n, D_A], logits [C]."""
        out = self._run(Run("audio_encoder", len(spectrograms)), {"spectrograms": spectrograms})
        return out["features"], out["logits"][0]

    def glance(self, frames: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
        """f_G and FC^G: uint8 [n, H, W, 3] -> e^G [n, D_G, h, w], its average [n, D_G], logits [n, C]."""
        out = self._run(Run("global_encoder", len(frames)), {"frames": frames})
        return out["feature_map"], out["features"], out["logits"]

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """AV-TeST: [T, D_G], [T], [T, D_A], [T] -> s [T]."""
        inputs = {"visual": visual, "glanced": glanced, "audio": audio, "heard": heard}
        return self._run(Run("saliency"), inputs)["saliency"]

    def locate(self, feature_map: Floats, audio: Floats, heard: Flags, state: Floats) -> tuple[Floats, Floats]:
        """AESPA and π: [1, D_G, h, w], [T, D_A], [T], [1, hidden] -> corner (x, y) [2] in frame pixels, next state."""
        inputs = {"feature_map": feature_map, "audio": audio, "heard": heard, "state": state}
        out = self._run(Run("spatial"), inputs)
        return out["top_left"][0], out["next_state"]

    def look(self, patches: Floats) -> Floats:
        """f_L: [n, P, P, 3], RGB 0–255 -> e^L [n, D_L]."""
        return self._run(Run("local_encoder", len(patches)), {"patches": patches})["features"]

    def classify(
        self, visual: Floats, local: Floats, audio: Floats, heard: Flags, state: Floats, seen: int
    ) -> tuple[Floats, Floats, Floats]:
        """ψ and f_C^AV: [1, D_G], [1, D_L], [T, D_A], [T], [1, dim] -> logits of p_t [C], next state, of p'_t [C]."""
        count = np.array([seen], dtype=np.int64)
        inputs = {"visual": visual, "local": local, "audio": audio, "heard": heard, "state": state, "seen": count}
        out = self._run(Run("classifier"), inputs)
        return out["logits"][0], out["next_state"], out["moment_logits"][0]

    def _run(self, run: Run, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        session = self._sessions.get(run.graph)
        try:
            with self._ledger.timing(run):
                return session.run(inputs)
        except DeviceError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise DeviceError(f"graph {run.graph}", f"it failed to run ({reason})", "see avgn-edge doctor") from error
