"""Networks, found by name, and what the rest of the package must know of one.

A network is a folder with a module `spec`, which holds `ARCHITECTURE` and is imported when its name is asked for. A
network of another package is found by an entry point of the group `avgn_edge.architectures` that names such a module.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Expected = tuple[str, tuple[int | str, ...]]  # type and shape; a size that is a name is the same wherever it stands
    Signatures = Mapping[str, tuple[Mapping[str, Expected], Mapping[str, Expected]]]

ITEMS = "n"
"""The size of what a graph takes any number of."""
GROUP = "avgn_edge.architectures"
_OWN = {"avgn": "avgn_edge.architectures.avgn.spec"}


@dataclass(frozen=True)
class GraphRole:
    """One graph of a network."""

    name: str
    """In the manifest, and of its files."""
    title: str
    """What a report calls it."""
    timing: str
    """Its key in `timing_ms`; several graphs may share one."""
    takes: Literal["one", "heard", "glanced", "looked"] = "one"
    """How many items a run takes: one; or as many as moments are heard, glanced at, or looked at."""
    remembered: bool = False
    """Whether calibration, which runs a clip in many ways, computes its items once."""


@dataclass(frozen=True)
class Architecture:
    """A network, as the bundle and the runtime know it."""

    name: str
    graphs: tuple[GraphRole, ...]
    """In the order in which a clip needs them."""
    settings: type[Any]
    """The class of its part of the manifest, a `bundle.manifest.NetworkSettings`."""
    signatures: Callable[[Any], Signatures]
    """From a `bundle.manifest.Manifest`: graph → its inputs and its outputs by name, for the sizes given there."""
    prices: Mapping[str, tuple[str, ...]]
    """Steps whose price is told besides that of listening, and the graphs that each runs once."""
    look: tuple[str, ...]
    """The graphs of a look at a moment without a glance, by whose time a device's speed is told."""
    steps: Callable[[int], int]
    """From a number of looks: how many exit steps a clip has."""
    policy: str
    """Where its class of `runtime.loop.Policy` is, as module:name."""
    stream_policy: str
    """Where its class of `runtime.stream.stream_settings.StreamPolicy` is, as module:name."""
    highlight_policy: str
    """Where its class of `runtime.highlights.salience.HighlightPolicy` is, as module:name."""
    checkpoints: str
    """Where the function is that reads a checkpoint into an `export.trained_network.TrainedNetwork`, as module:name."""
    training: str = ""
    """Where the function is that makes its `training.stages.Recipe`, as module:name; empty where there is none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The graphs' names."""
        return tuple(role.name for role in self.graphs)

    @property
    def listener(self) -> str:
        """The graph that hears all moments: what any clip costs at the least."""
        return next((role.name for role in self.graphs if role.takes == "heard"), "")

    def role(self, graph: str) -> GraphRole:
        """The role of a graph; KeyError for no graph of this network."""
        return {role.name: role for role in self.graphs}[graph]


def load(place: str) -> Any:  # noqa: ANN401 - a class or a function of a network's own
    """Import what a network names as module:name."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _installed() -> dict[str, str]:
    """Return the networks of other packages: name → module."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 10 ms that our own networks need not wait for

    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


@cache
def architecture(name: str) -> Architecture:
    """Return the network of a name; KeyError where there is none."""
    found: Architecture = import_module(_OWN.get(name) or _installed()[name]).ARCHITECTURE
    return found


def known() -> tuple[str, ...]:
    """Return the names of all networks that are installed."""
    return (*_OWN, *sorted(_installed()))
