"""Makes networks, clips and bundles for tests: tiny, random, and lively, so that wrong answers differ from right ones.

A freshly initialised network answers nearly the same to everything, and a parity test on it cannot fail. Here the batch
norms are fitted to the textures and sounds of made clips, and the heads are scaled until corners spread over the frame,
moments differ in saliency, and probabilities are neither uniform nor certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from avgn_edge.architectures.avgn.spec import GRAPHS, AvgnSettings
from avgn_edge.bundle.calibration_tables import ExitSettings
from avgn_edge.bundle.manifest import GraphCost, GraphFile, Manifest, TensorSpec
from avgn_edge.engines.base import DeviceReport
from avgn_edge.media.array_clip import ArrayClip
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.budget import Ledger, Run

LABELS = ("dog", "rain", "violin", "train", "zwölf ✓", "nothing")
SECONDS, RATE = 16, 16_000


def texture(rng: np.random.Generator, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """A frame with a gradient, a grating and a bright blob, each anywhere; uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 40)
    grating = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)[..., None] * rng.uniform(0, 60, 3)
    ramp = (x / width)[..., None] * rng.uniform(-90, 90, 3) + (y / height)[..., None] * rng.uniform(-90, 90, 3)
    centre = rng.uniform(0, (width, height))
    far = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(8, 40) ** 2
    blob = np.exp(-far)[..., None] * rng.uniform(-160, 160, 3)
    noise = rng.normal(0, rng.uniform(1, 15), (height, width, 3))
    return np.clip(rng.uniform(60, 200, 3) + grating + ramp + blob + noise, 0, 255).astype(np.uint8)


def sound(rng: np.random.Generator, heard: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A second of tones and noise for each moment, exact silence where `heard` is False; float32 [samples]."""
    times = np.arange(RATE) / RATE
    pieces = []
    for audible in heard:
        tones = sum(rng.uniform(0, 0.2) * np.sin(2 * np.pi * hertz * times) for hertz in rng.uniform(150, 6000, 3))
        piece = tones + rng.normal(0, rng.uniform(0.0005, 0.05), RATE)
        pieces.append(piece * audible)
    return np.clip(np.concatenate(pieces), -1, 1).astype(np.float32)


def hearing(kind: str, seed: int = 0) -> NDArray[np.bool_]:
    """Which moments have sound: "all", "none" or "some"."""
    if kind == "some":
        return np.random.default_rng(seed).random(16) < 0.6
    return np.full(16, kind == "all")


def made_clip(seed: int, heard: str = "all", *, video: bool = True, frames: int = 32) -> ArrayClip:
    """Sixteen seconds of textures and sounds; the same again for the same seed."""
    pictures, waveform = _pictures(seed, frames), _waveform(seed, heard)
    silent = heard == "none"
    return ArrayClip(
        pictures if video else None,
        None if silent else waveform,
        None if silent else RATE,
        duration_s=float(SECONDS) if video else None,
        name=f"made-{seed}",
    )


@lru_cache(maxsize=32)
def _pictures(seed: int, frames: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng((seed, 1))
    return np.stack([texture(rng) for _ in range(frames)])


@lru_cache(maxsize=32)
def _waveform(seed: int, heard: str) -> NDArray[np.float32]:
    return sound(np.random.default_rng((seed, 2)), hearing(heard, seed))


def network_inputs(clip: ArrayClip) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """All that a network could ask of a clip: frames [16, H, W, 3], spectrograms [16, 1, 96, 64], heard [16]."""
    windows, heard = clip.windows()
    return np.stack(clip.frames(range(16))), log_mel(windows), heard


def tiny_settings(**changes: Any):
    """The narrowest network with every part of the real one."""
    from avgn_edge.architectures.avgn.network.settings import Settings

    base = Settings(
        labels=LABELS,
        glances=8,
        looks=5,
        audio_backbone="tiny",
        global_backbone="tiny",
        local_backbone="tiny",
        saliency_dim=16,
        saliency_feedforward=32,
        aespa_dim=32,
        aespa_layers=2,
        aespa_feedforward=32,
        policy_channels=8,
        policy_hidden=24,
        fusion_dim=32,
        fusion_feedforward=32,
        classifier_dim=48,
    )
    return replace(base, **changes)


def lively_model(seed: int = 0, **changes: Any):
    """A random network whose answers depend on everything that it is given.

    It is fitted in double precision, so that it is the same network on every machine.
    """
    import torch

    from avgn_edge.architectures.avgn.network.avgn import AVGN
    from avgn_edge.architectures.avgn.training.forward import encode, run

    torch.manual_seed(seed)
    model = AVGN(tiny_settings(**changes)).double()
    norms = [m for m in model.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "tokens" in name or "positions" in name or name in {"no_audio", "av_test.mask_token"}:
                value.normal_(0, 0.5)
            elif name.endswith("norm.bias") or ".norm" in name:
                value.add_(torch.randn_like(value) * 0.2)
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.3)
            norm.momentum = None  # the plain average over the batches that follow
        clips = [network_inputs(made_clip(1000 + i)) for i in range(2)]
        frames, spectrograms, heard = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
        spectrograms, order = spectrograms.double(), torch.arange(16)
        model.train()
        done = run(model, frames, encode(model, frames, spectrograms, heard), order)
        model.visual_classifier.embed(torch.cat((done.visual, done.local), dim=-1))
        model.audio_classifier.embed(done.audio)
        for norm in norms:  # channels that hardly vary would magnify rounding until engines disagree
            norm.running_var.clamp_(min=float(norm.running_var.median()))
        model.eval()
        model.av_test.positions.mul_(0.2)  # else the same moments are salient in every clip
        features = encode(model, frames, spectrograms, heard)
        _spread(model.av_test.embed_audio, model.av_test.embed_audio(features.audio), 1.5)
        _spread(model.av_test.embed_visual, model.av_test.embed_visual(features.maps.mean(dim=(3, 4))), 1.5)
        done = run(model, frames, encode(model, frames, spectrograms, heard), order, mask_ratio=0.0)
        _spread(model.av_test.fc_s, done.saliency.scores, 1.0)
        corners = torch.logit((done.top_left / model.settings.travel).clamp(0.01, 0.99))
        _spread(model.policy.fc_xy, corners, 1.5)
        prefixes = model.classifier.prefixes(done.hidden)
        for head, logits in (
            (model.classifier, prefixes),
            (model.audio_classifier, model.audio_classifier.prefixes(model.audio_classifier.embed(done.audio))),
        ):
            scale = 1.0 / float((logits - logits.mean(dim=(0, 1))).std())
            head.weight *= scale
            head.bias.copy_(-logits.mean(dim=(0, 1)) * scale + torch.randn_like(head.bias) * 0.3)
        _spread(model.fc_g, model.fc_g(done.visual), 1.0)
    return model.float().eval()


def _spread(layer, outputs, deviation: float) -> None:
    """Scale and shift a linear layer until its outputs are centred on 0 with this deviation."""
    flat = outputs.reshape(-1, layer.out_features)
    scale = deviation / flat.std(dim=0).clamp_min(1e-6)
    layer.bias.copy_((layer.bias - flat.mean(dim=0)) * scale)
    layer.weight.copy_(layer.weight * scale.unsqueeze(1))


# ---- a recognizer without networks ----------------------------------------------------------------------------------


REAL_COST = {  # MACs of the preset `small`, rounded
    "audio_encoder": (0, 12_000_000),
    "global_encoder": (0, 300_000_000),
    "saliency": (8_000_000, 0),
    "spatial": (20_000_000, 0),
    "local_encoder": (0, 98_000_000),
    "classifier": (3_000_000, 0),
}


class FakeSession:
    """A graph that answers with random arrays of the right shapes: a function of its seed and of what it is given."""

    def __init__(self, engine: FakeEngine, graph: str) -> None:
        self._engine, self._graph = engine, graph

    def run(self, inputs: Mapping[str, NDArray[Any]], _keep: Collection[str] = ()) -> dict[str, NDArray[Any]]:
        return self._engine.answer(self._graph, inputs)


class FakeEngine:
    """Counts what is run; `answers` may replace a graph's outputs."""

    device = "fake"
    int8_variant = "u8s8"

    def __init__(self, manifest: Manifest, seed: int = 0) -> None:
        self._settings, self._labels = manifest.settings, len(manifest.labels)
        self._moments, self._travel = manifest.preprocessing.moments, 224 - manifest.settings.patch_size
        self._seed = seed
        self.items: dict[str, list[int]] = {name: [] for name in GRAPHS}
        self.frames_seen: list[NDArray[np.uint8]] = []
        self.report = DeviceReport("fake", "fake", "fake", "0")

    def open(self, path: Path, _precision: str = "fp32") -> FakeSession:
        return FakeSession(self, path.stem)

    def answer(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        s = self._settings
        first = next(iter(inputs.values()))
        n = len(first) if graph in {"audio_encoder", "global_encoder", "local_encoder"} else 1
        self.items[graph].append(n)
        if graph == "saliency":  # as arbitrary as it gets: another order for every set of glances
            glanced = int(np.packbits(inputs["glanced"]).astype(np.int64) @ [256, 1])
            rng = np.random.default_rng((self._seed, glanced))
            return {"saliency": rng.normal(size=self._moments).astype(np.float32)}
        count = int(inputs["seen"][0]) if graph == "classifier" else 0
        rng = np.random.default_rng((self._seed, GRAPHS.index(graph), n, count))

        def random(*shape: int) -> NDArray[np.float32]:
            return rng.normal(0, 2, shape).astype(np.float32)

        if graph == "audio_encoder":
            return {"features": random(n, s.audio_dim), "logits": random(1, self._labels)}
        if graph == "global_encoder":
            self.frames_seen += list(first)
            out = {"feature_map": random(n, s.global_dim, 2, 2), "features": random(n, s.global_dim)}
            return {**out, "logits": random(n, self._labels)}
        if graph == "spatial":
            corner = rng.uniform(0, self._travel, (1, 2)).astype(np.float32)
            return {"top_left": corner, "next_state": random(1, s.policy_state)}
        if graph == "local_encoder":
            return {"features": random(n, s.local_dim)}
        out = {"logits": random(1, self._labels), "next_state": random(1, s.classifier_state)}
        return {**out, "moment_logits": random(1, self._labels)}


class ItemwiseEngine(FakeEngine):
    """Answers with functions of every byte of what is given: an item's are the same alone and among others.

    What was left out, given twice or in another order shows in everything that follows from it.
    """

    def answer(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        s, labels = self._settings, self._labels
        first = next(iter(inputs.values()))
        items = [first[at : at + 1] for at in range(len(first))]
        self.items[graph].append(len(items) if graph.endswith("_encoder") else 1)
        width = {
            "audio_encoder": s.audio_dim,
            "global_encoder": 5 * s.global_dim + labels,
            "local_encoder": s.local_dim,
            "saliency": self._moments,
            "spatial": 2 + s.policy_state,
            "classifier": 2 * labels + s.classifier_state,
        }[graph]
        if not graph.endswith("_encoder"):
            made = self._normal(graph, width, *inputs.values())
            if graph == "saliency":
                return {"saliency": made}
            if graph == "spatial":
                corner = self._travel / (1 + np.exp(-made[:2]))
                return {"top_left": corner[None].astype(np.float32), "next_state": made[None, 2:]}
            answer, moment, state = np.split(2 * made[None], [labels, 2 * labels], axis=1)
            return {"logits": answer, "moment_logits": moment, "next_state": state}
        rows = np.stack([self._normal(graph, width, item) for item in items])
        if graph == "local_encoder":
            return {"features": rows}
        if graph == "audio_encoder":
            return {"features": rows, "logits": 2 * self._normal("audio_logits", labels, first)[None]}
        self.frames_seen += list(first)
        maps, features, logits = np.split(rows, [4 * s.global_dim, 5 * s.global_dim], axis=1)
        return {"feature_map": maps.reshape(-1, s.global_dim, 2, 2), "features": features, "logits": 2 * logits}

    def _normal(self, what: str, count: int, *given: NDArray[Any]) -> NDArray[np.float32]:
        seen = crc32(what.encode())
        for array in given:
            seen = crc32(np.ascontiguousarray(array).tobytes(), seen)
        return np.random.default_rng((self._seed, seen)).normal(size=count).astype(np.float32)


class WatchedLedger(Ledger):
    """Keeps a permission for each run that `affords` said yes to, and demands it when the run is charged."""

    permitted: Counter[str]

    def affords(self, *runs: Run) -> bool:
        answer = super().affords(*runs)
        if answer:
            self.permitted = Counter()
            for run in runs:
                self.permitted[run.graph] += run.items
        return answer

    def charge(self, run: Run, seconds: float) -> None:
        listening = run.graph in {"audio_encoder", "decode_audio", "front_end"}  # checked before the clip is opened
        if not listening and run.graph not in {"open", "decode", "finish"}:
            self.permitted[run.graph] -= run.items
            assert self.permitted[run.graph] >= 0, f"{run} was not asked for"
        super().charge(run, seconds)


class FakeBundle:
    """A bundle without files."""

    path = Path("fake")

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.precisions = manifest.precisions
        self.hash = uuid4().hex  # no two share a device profile

    def graph_bytes_path(self, _precision: str, graph: str, _variant: str = "u8s8") -> Path:
        return Path(f"{graph}.onnx")


_CLIP = (("audio", "float32", (16, 4)), ("heard", "bool", (16,)))
_FAKE_INPUTS = {
    "audio_encoder": (("spectrograms", "float32", ("n", 1, 96, 64)),),
    "global_encoder": (("frames", "uint8", ("n", 224, 224, 3)),),
    "saliency": (("visual", "float32", (16, 4)), ("glanced", "bool", (16,)), *_CLIP),
    "spatial": (("feature_map", "float32", (1, 4, 2, 2)), *_CLIP, ("state", "float32", (1, 4))),
    "local_encoder": (("patches", "float32", ("n", 96, 96, 3)),),
    "classifier": (("visual", "float32", (1, 4)), *_CLIP, ("state", "float32", (1, 4)), ("seen", "int64", (1,))),
}


def _fake_file(graph: str) -> GraphFile:
    """Names and kinds of the real graph's inputs; the widths do not matter to a fake engine."""
    inputs = tuple(TensorSpec(*spec) for spec in _FAKE_INPUTS[graph])
    return GraphFile(f"graphs/fp32/{graph}.onnx", "0" * 64, 1, 20, inputs, (TensorSpec("x", "float32", (1,)),))


def fake_manifest(
    cost: Mapping[str, tuple[int, int]],
    *,
    glances: int = 8,
    looks: int = 5,
    confidence: float | None = None,
    task: str = "single-label",
) -> Manifest:
    """A manifest with given prices, graph -> (fixed, for an item)."""
    return Manifest(
        name="fake",
        labels=LABELS,
        task=task,
        licence="none",
        settings=AvgnSettings(
            patch_size=96,
            glances=glances,
            looks=looks,
            audio_dim=3,
            global_dim=4,
            local_dim=5,
            policy_state=6,
            classifier_state=7,
        ),
        graphs={"fp32": {name: _fake_file(name) for name in GRAPHS}},
        cost={name: GraphCost(*cost[name]) for name in GRAPHS},
        exits=ExitSettings(confidence),
    )


class FakeClip:
    """A clip that costs nothing to make: flat frames that show their own moment's number and the clip's seed."""

    name = "fake-clip"
    duration_s = 16.0
    warnings: tuple[str, ...] = ()

    def __init__(self, heard: NDArray[np.bool_], *, video: bool = True, seed: int = 0) -> None:
        from avgn_edge.media.moments import centred_moments

        self._heard, self._seed = heard, seed
        self.has_video, self.has_audio = video, bool(heard.any())
        self.display_size = (320, 240) if video else None
        self.moments = centred_moments(self.duration_s, len(heard))
        self.asked: list[int] = []

    @property
    def conversions(self) -> int:
        return len(self.asked)

    def windows(self, limit=None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return np.full((len(self._heard), 15_600), self._seed / 1000, dtype=np.float32), self._heard.copy()

    def work(self, indices) -> int:
        return len(indices)

    def frames(self, indices, deadline=None) -> list[NDArray[np.uint8]]:
        self.asked += list(indices)
        return [np.full((224, 224, 3), (index, index, self._seed % 256), dtype=np.uint8) for index in indices]

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass
