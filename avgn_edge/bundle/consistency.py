"""Whether labels, sizes, declared shapes and graphs of a bundle fit together, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge._base.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from avgn_edge.bundle.architecture import Expected
    from avgn_edge.bundle.manifest import GraphFile, Manifest, TensorSpec
    from avgn_edge.bundle.onnx_scan import Signature, Tensor


AGAIN = "export the bundle again"
MELS = (1, 96, 64)
ITEMS = "n"
"""The size of what a graph takes any number of."""


def check_described(real: Signature, described: GraphFile, name: str) -> None:
    """BundleError where the graph in a file is not what the manifest says of it: names, types, ranks, fixed sizes.

    A size that the manifest gives a name may be fixed in an output, not in an input: the graph takes any there.
    """
    both = ("input", real.inputs, described.inputs), ("output", real.outputs, described.outputs)
    for kind, found, declared in both:
        by_name = {tensor.name: tensor for tensor in found}
        names = [spec.name for spec in declared]
        if set(by_name) != set(names) or len(found) != len(names):
            why = f"its {kind}s are {_listed(by_name)}, the manifest says {_listed(names)}"
            raise BundleError(name, why, AGAIN)
        for spec in declared:
            tensor = by_name[spec.name]
            if not _agree(tensor, spec, varies=kind == "input"):
                why = f"its {kind} {spec.name} is {_told(tensor)}, the manifest says {spec.dtype} {_sizes(spec.shape)}"
                raise BundleError(name, why, AGAIN)


def check_network(manifest: Manifest, path: Path) -> None:
    """BundleError where the declared graphs are not those of a network of the manifest's labels and settings."""
    expected = manifest.network.signatures(manifest)
    folders = {**manifest.graphs, **{f"int8-{name}": files for name, files in manifest.int8_variants.items()}}
    for folder, files in folders.items():
        known: dict[str, int | str] = {}
        for graph, described in files.items():
            where = f"{path}: {graph} in {folder} for {len(manifest.labels)} labels"
            inputs, outputs = expected[graph]
            _check(where, "input", described.inputs, inputs, known, exactly=True)
            _check(where, "output", described.outputs, outputs, known, exactly=False)


def _check(
    where: str,
    kind: str,
    declared: Sequence[TensorSpec],
    expected: Mapping[str, Expected],
    known: dict[str, int | str],
    *,
    exactly: bool,
) -> None:
    by_name = {spec.name: spec for spec in declared}
    missing, more = expected.keys() - by_name.keys(), by_name.keys() - expected.keys()
    if missing or (more and exactly):
        raise BundleError(where, f"its {kind}s are {_listed(by_name)}, needed {_listed(expected)}", AGAIN)
    for name, (dtype, shape) in expected.items():
        spec = by_name[name]
        same_rank = spec.dtype == dtype and len(spec.shape) == len(shape)
        if not (same_rank and all(_fits(size, real, known) for size, real in zip(shape, spec.shape, strict=True))):
            wanted = [known.get(size, size) if isinstance(size, str) else size for size in shape]
            why = f"its {kind} {name} is {spec.dtype} {_sizes(spec.shape)}, needed {dtype} {_sizes(wanted)}"
            raise BundleError(where, why, AGAIN)


def _fits(size: int | str, real: int | str, known: dict[str, int | str]) -> bool:
    if size == ITEMS:
        return isinstance(real, str)
    return real == (known.setdefault(size, real) if isinstance(size, str) else size)


def _agree(tensor: Tensor, spec: TensorSpec, *, varies: bool) -> bool:
    if tensor.dtype != spec.dtype:
        return False
    if tensor.shape is None:
        return True
    return len(tensor.shape) == len(spec.shape) and all(
        real is None or (real == said if isinstance(said, int) else not varies)
        for real, said in zip(tensor.shape, spec.shape, strict=True)
    )


def _told(tensor: Tensor) -> str:
    return f"{tensor.dtype or 'no tensor'} {_sizes(['?' if size is None else size for size in tensor.shape or ()])}"


def _sizes(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    text = ", ".join(name if name.isprintable() else ascii(name) for name in names)
    return text[:200] or "none"
