"""The graphs of a bundle: opened when first needed, charged to the ledger when they run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import ClipError, DeviceError
from avgn_edge._base.processes import usable_cores
from avgn_edge.bundle.reader import Bundle
from avgn_edge.engines.base import Engine, OpensGraphs, Session
from avgn_edge.runtime import device_profile
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger, Run
from avgn_edge.runtime.device_profile import ProfileKey

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Sessions:
    """The opened graphs of one bundle on one engine in one precision; safe to use from several threads."""

    def __init__(self, bundle: Bundle, engine: Engine, precision: str, threads: int | None = None) -> None:
        self._bundle = bundle
        self._cores = threads or usable_cores()
        self._engine = engine
        self._precision = precision
        self._listener = bundle.manifest.network.listener
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

    def account(self, budget: Budget, pace: LatencyModel | None) -> tuple[GraphRunner, Ledger]:
        """What runs these graphs, and the new ledger that it charges; `pace` as the ledger has it."""
        ledger = Ledger(budget, self._bundle.manifest.cost, pace)
        return GraphRunner(self, ledger), ledger

    def alone(self, runs: Iterable[Run]) -> float:
        """Seconds that these runs take, one after the other and nothing between them."""
        return device_profile.alone(self, self._bundle.manifest.graphs[self._precision], runs)

    @property
    def profile_key(self) -> ProfileKey:
        """What the device profile of these sessions is kept under."""
        used = self._engine.report
        engine = f"{used.engine} {used.engine_version}"
        return ProfileKey(
            used.used, self._precision, self._cores, self._bundle.hash, engine, device_profile.processor()
        )

    @property
    def ready_sizes(self) -> tuple[int, ...]:
        """The numbers of moments that can be listened to at once without compiling for them; empty: any number."""
        return device_profile.SIZES if self._measured and self._engine.report.engine == "openvino" else ()

    def save_profile(self, pace: LatencyModel) -> Path | None:
        """Measure the device profile anew, with care, and keep it; return its file, None where none can be written."""
        known = device_profile.measure(
            self, self._bundle.manifest.graphs[self._precision], self._listener, careful=True
        )
        with self._measuring:
            pace.know(known)
            self._measured = True
        return device_profile.save(self.profile_key, known)

    def warm(self) -> None:
        """Open and run every graph, so that none is waited for when it counts."""
        device_profile.warm(self, self._bundle.manifest.graphs[self._precision], self._listener)

    def measure(self, pace: LatencyModel) -> None:
        """Open and run every graph, once: a time budget must know what a step takes before the first.

        What it takes is read from the device profile; without one it is measured, and kept for the next time.
        """
        with self._measuring:
            if self._measured:
                return
            graphs, key = self._bundle.manifest.graphs[self._precision], self.profile_key
            known = device_profile.load(key)
            if known is not None and set(known) == set(graphs):
                self.warm()
            else:
                known = device_profile.measure(self, graphs, self._listener)
                device_profile.save(key, known)
            pace.know(known)
            self._measured = True


class GraphRunner:
    """Runs graphs for one clip. What is run is charged here and nowhere else."""

    def __init__(self, sessions: OpensGraphs, ledger: Ledger) -> None:
        self._sessions = sessions
        self._ledger = ledger

    def ready_size(self, items: int) -> int:
        """A number of items, `items` or a little more, that needs no compiling; only against the clock it is more."""
        ready = self._sessions.ready_sizes if self._ledger.timed and isinstance(self._sessions, Sessions) else ()
        return min((size for size in ready if size >= items), default=items)

    def run(self, run: Run, inputs: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
        """Run a graph and return its outputs by name; those in `keep`, which only graphs read, are `DeviceArray`.

        DeviceError where it fails, ClipError where it gives what is no finite number.
        """
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
        for name, value in inputs.items():
            if not isinstance(value, np.ndarray) and not _is_finite(value.numpy()):
                bad = f"inputs {name}"
        what_to_do = "try --precision fp32, and export the bundle again if that fails too"
        raise ClipError(f"graph {graph}", f"its {bad} are not finite numbers", what_to_do)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - what a graph gave
    """Whether all of an array's values are finite; what lies on a device is taken to be."""
    return not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())
