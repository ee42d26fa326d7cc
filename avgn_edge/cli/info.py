"""`info`: what a bundle holds and what its parts cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted, fields, gmacs, mmacs, size
from avgn_edge.cli.shared import AsJson
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.exits import DEFAULT_RISK

MOST_LABELS = 30
VARIANTS = {"s8s8": "ARM", "symmetric": "TensorRT"}


def command(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle's folder. [default: the packaged one]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a bundle holds and costs. Every file in it is checked."""
    opened = Bundle.open(packaged_bundle_path() if bundle is None else bundle, verify="all")
    if as_json:
        console.json_line({**opened.manifest.to_dict(), "hash": opened.hash})
    else:
        console.data_lines(as_text(opened))


def as_text(bundle: Bundle) -> Iterator[str]:
    """Describe a bundle for a person: facts, prices, and a row a graph."""
    manifest = bundle.manifest
    yield from fields(list(_facts(bundle)))
    yield ""
    yield from fields(list(_prices(manifest)))
    yield ""
    yield from columns(list(_graphs(manifest)), right=frozenset(range(1, 3 + len(manifest.precisions))))


def _facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest, settings = bundle.manifest, bundle.manifest.settings
    yield "bundle", manifest.name
    yield "network", manifest.architecture
    yield "folder", str(bundle.path)
    yield "hash", f"{bundle.hash} (every file checked)"
    yield "licence", manifest.licence
    yield "task", f"{manifest.task}, {counted(len(manifest.labels), 'class', 'classes')}"
    more = len(manifest.labels) - MOST_LABELS
    yield "labels", ", ".join(manifest.labels[:MOST_LABELS]) + (f", and {more} more" if more > 0 else "")
    for precision in manifest.precisions:
        total = sum(graph.bytes for graph in manifest.graphs[precision].values())
        yield "precision", f"{precision}, {size(total)}"
    for variant, graphs in manifest.int8_variants.items():
        total = sum(graph.bytes for graph in graphs.values())
        yield "precision", f"int8 for {VARIANTS[variant]}, {size(total)} more"
    moments = manifest.preprocessing.moments
    yield "attention", f"{moments} moments, glances at {settings.glances} (T_G), looks at up to {settings.looks} (k)"
    if getattr(settings, "look_from", "glance") == "source":
        yield "looks", f"from frames of {manifest.preprocessing.frame_size} pixels, which glances see smaller"
    yield "stops", _stops(manifest)
    yield from _calibration(manifest)
    yield "made with", ", ".join(f"{name} {version}" for name, version in sorted(manifest.provenance.items()))


def _stops(manifest: Manifest) -> str:
    confidence = manifest.exits.confidence
    if manifest.exits.tables:
        return f"where that changes the answer in at most {100 * DEFAULT_RISK:g} % of clips, or what --exit-risk says"
    return "never before the last look" if confidence is None else f"when a score reaches {confidence:g}"


def _calibration(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if not manifest.exits.tables:
        yield "calibrated", "not yet: avgn-edge calibrate fits it to your clips"
        return
    for precision, tables in manifest.exits.tables.items():
        yield "calibrated", f"{precision}, risks on {counted(tables[-1].clips, 'clip')}"
    averages = [point.mean_macs for point in manifest.operating_points if point.thresholds is not None]
    if averages:
        yield "averages", f"{gmacs(min(averages))} to {gmacs(max(averages))} GFLOPs a clip, with --average"


def _prices(manifest: Manifest) -> Iterator[tuple[str, str]]:
    network = manifest.network
    listening = manifest.cost[network.listener].macs(manifest.preprocessing.moments)
    yield "listening", f"{gmacs(listening)} GFLOPs, so the smallest budget is {smallest(listening)}"
    for what, graphs in network.prices.items():
        yield what, f"{gmacs(sum(manifest.cost[graph].macs(1) for graph in graphs))} GFLOPs"


def _graphs(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    yield ("graph", "MFLOPs fixed", "per item", *manifest.precisions)
    for name in manifest.graph_names:
        cost = manifest.cost[name]
        sizes = (size(manifest.graphs[precision][name].bytes) for precision in manifest.precisions)
        yield (name, mmacs(cost.fixed_macs), mmacs(cost.macs_per_item), *sizes)
