"""Opens a bundle: checks the manifest, the files it names and their hashes, and runs nothing."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.arguments import shown
from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.architecture import ITEMS
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.onnx_scan import check_self_contained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from avgn_edge.bundle.architecture import Expected
    from avgn_edge.bundle.manifest import GraphFile, TensorSpec
    from avgn_edge.bundle.onnx_scan import Signature, Tensor

_AGAIN = "export the bundle again"
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 16 * 2**20
PACKAGED = "digits-small"
VERIFIERS = 2
"""Threads that check files: hashing needs no interpreter, but looking into the graphs does."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. A graph's path is handed out only after its bytes were checked against the manifest."""

    path: Path
    manifest: Manifest = field(repr=False)
    hash: str
    """SHA-256 of manifest.json, and through the hashes in it of the whole bundle."""
    _verified: set[GraphFile] = field(default_factory=set, repr=False, compare=False)
    _locks: dict[GraphFile, threading.Lock] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: str | Iterable[str] = ()) -> Bundle:
        """Read the bundle in a folder, and check that its files lie in it and have the right sizes.

        Args:
            path: The folder.
            verify: The precisions whose files are also hashed here, or "all". Those of other precisions are when they
                are first asked for: a precision that is never used is never read.

        Raises:
            BundleError: There is no bundle, or it is damaged, unknown or unsafe.

        """
        if not isinstance(path, str | os.PathLike):
            raise BundleError(f"bundle {shown(path)}", "it is no path", "give a bundle's folder")
        folder = Path(os.fsdecode(path))
        data = _read_manifest(folder)
        try:
            manifest = Manifest.from_json(data)
        except BundleError as error:
            raise BundleError(f"{folder}: {error.what}", error.why, error.what_to_do) from error
        bundle = cls(folder.resolve(), manifest, hashlib.sha256(data).hexdigest())
        for graph in manifest.files:
            _locate(bundle.path, graph)
        if verify == "all":
            with bundle.verifying():
                return bundle
        for precision in (verify,) if isinstance(verify, str) else verify:
            bundle.verify(precision)
        return bundle

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions the bundle holds."""
        return self.manifest.precisions

    def precisions_for(self, variant: str) -> tuple[str, ...]:
        """The precisions it holds for a device that computes this INT8 variant."""
        lacks = variant != "u8s8" and variant not in self.manifest.int8_variants
        return tuple(name for name in self.precisions if not (name == "int8" and lacks))

    def verify(self, precision: str, variant: str | None = None) -> None:
        """Check the bytes of every graph of one precision, once: hash, and no reference to another file.

        None for `variant` is all the INT8 variants that the bundle holds.
        """
        variants = ("u8s8", *self.manifest.int8_variants) if variant is None else (variant,)
        for one in variants:
            for graph in self.manifest.graph_names:
                self.graph_bytes_path(precision, graph, one)

    def graph_bytes_path(self, precision: str, graph: str, variant: str = "u8s8") -> Path:
        """Return where a graph's ONNX file lies, its bytes checked; `variant` is which INT8 the device computes."""
        if precision not in self.manifest.graphs or graph not in self.manifest.graph_names:
            held = ", ".join(self.precisions)
            raise BundleError(str(self.path), f"no graph {graph!r} in {precision!r}", f"choose a precision of {held}")
        described = self.manifest.graph_file(precision, graph, variant)
        if described is None:
            why = f"it holds no INT8 graphs for this kind of device ({variant})"
            raise BundleError(str(self.path), why, "choose another --precision, or calibrate the bundle again")
        return self._check(described)

    @contextmanager
    def verifying(self) -> Iterator[None]:
        """Check the bytes of every file while the block runs; at its end all are checked, or it is a BundleError.

        An error of the block comes first.
        """
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 5 ms that reading a manifest need not wait

        with ThreadPoolExecutor(VERIFIERS, "avgn-edge-verify") as pool:
            checks = [pool.submit(self._check, file) for file in self.manifest.files]
            try:
                yield
                for check in checks:
                    check.result()
            finally:
                for check in checks:
                    check.cancel()

    def _check(self, file: GraphFile) -> Path:
        """Return where a file lies, its bytes checked; several threads may check several files."""
        located = _locate(self.path, file)
        with self._locks.setdefault(file, threading.Lock()):
            if file not in self._verified:
                _check_bytes(located, file)
                self._verified.add(file)
        return located


def packaged_bundle_path() -> Path:
    """Return the folder of the bundle that comes with the package."""
    path = Path(str(resources.files("avgn_edge"))) / "packaged" / PACKAGED
    if not path.is_dir():
        raise BundleError("the packaged bundle", "this installation does not hold it", "name a bundle with --model")
    return path


def _read_manifest(folder: Path) -> bytes:
    path = folder / MANIFEST_NAME
    advice = "name a folder that `avgn-edge export` wrote"
    if not folder.is_dir():
        raise BundleError(str(folder), "no such folder", advice)
    if not path.is_file():
        raise BundleError(str(folder), f"no {MANIFEST_NAME} in it", advice)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(str(path), "it leads outside the bundle", "copy the file into the bundle")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(str(path), f"larger than {MAX_MANIFEST_BYTES >> 20} MiB", advice)
    return data


def _locate(folder: Path, graph: GraphFile) -> Path:
    """Return the graph's real path: a regular file of the right size that lies inside the resolved `folder`."""
    path = folder / graph.path
    try:
        real = path.resolve(strict=True)
        inside, regular, size = real.is_relative_to(folder), real.is_file(), real.stat().st_size
    except (OSError, RuntimeError) as error:  # RuntimeError: a ring of symbolic links, before Python 3.13
        raise BundleError(str(path), "missing, or it cannot be read", _AGAIN) from error
    if not inside:
        raise BundleError(str(path), "it leads outside the bundle", "copy the file into the bundle")
    if not regular:
        raise BundleError(str(path), "not a regular file", _AGAIN)
    if size != graph.bytes:
        raise BundleError(str(path), f"{size} bytes, the manifest says {graph.bytes}", _AGAIN)
    return real


def _check_bytes(path: Path, graph: GraphFile) -> None:
    try:
        with path.open("rb") as file:
            data = file.read(graph.bytes + 1)
    except OSError as error:
        raise BundleError(str(path), f"cannot be read ({error.strerror})", "check its permissions") from error
    if hashlib.sha256(data).hexdigest() != graph.sha256:
        raise BundleError(str(path), "its bytes differ from the manifest's hash", _AGAIN)
    _check_described(check_self_contained(data, str(path)), graph, str(path))


def _check_described(real: Signature, described: GraphFile, name: str) -> None:
    """Compare the graph in a file with what the manifest says of it: names, types, ranks and fixed sizes.

    A size that the manifest gives a name may be fixed in an output, but not in an input, where the graph takes any.
    """
    both = ("input", real.inputs, described.inputs), ("output", real.outputs, described.outputs)
    for kind, found, declared in both:
        by_name = {tensor.name: tensor for tensor in found}
        names = [spec.name for spec in declared]
        if set(by_name) != set(names) or len(found) != len(names):
            why = f"its {kind}s are {_listed(by_name)}, the manifest says {_listed(names)}"
            raise BundleError(name, why, _AGAIN)
        for spec in declared:
            tensor = by_name[spec.name]
            if not _agree(tensor, spec, varies=kind == "input"):
                why = f"its {kind} {spec.name} is {_told(tensor)}, the manifest says {spec.dtype} {_sizes(spec.shape)}"
                raise BundleError(name, why, _AGAIN)


def check_network(manifest: Manifest, path: Path) -> None:
    """Check that the graphs are those of the manifest's network with its labels and settings.

    Args:
        manifest: Which network, labels and settings, and the inputs and outputs of its graphs.
        path: Where the bundle is, for the error.

    Raises:
        BundleError: A graph's inputs or outputs have other names, types or shapes.

    """
    expected = manifest.network.signatures(manifest)
    for folder, files in manifest.folders.items():
        known: dict[str, int | str] = {}
        for graph, described in files.items():
            where = f"{path}: {graph} in {folder} for {len(manifest.labels)} labels"
            inputs, outputs = expected[graph]
            _check_tensors(where, "input", described.inputs, inputs, known, exactly=True)
            _check_tensors(where, "output", described.outputs, outputs, known, exactly=False)


def _check_tensors(
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
        raise BundleError(where, f"its {kind}s are {_listed(by_name)}, needed {_listed(expected)}", _AGAIN)
    for name, (dtype, shape) in expected.items():
        spec = by_name[name]
        same_rank = spec.dtype == dtype and len(spec.shape) == len(shape)
        if not (same_rank and all(_fits(size, real, known) for size, real in zip(shape, spec.shape, strict=True))):
            wanted = [known.get(size, size) if isinstance(size, str) else size for size in shape]
            why = f"its {kind} {name} is {spec.dtype} {_sizes(spec.shape)}, needed {dtype} {_sizes(wanted)}"
            raise BundleError(where, why, _AGAIN)


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
