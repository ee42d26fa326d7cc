"""The six graphs that a checkpoint is split into, as modules with the inputs and outputs that the runtime uses.

State is explicit: π's GRU state and f_C's running maximum go in and come out, so that a graph is one step and the
runtime owns the loop. Tokens that stand in for what was not glanced at or not heard are inside the graphs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.spec import AvgnSettings
from avgn_edge.bundle.manifest import Preprocessing
from avgn_edge.export.trained_network import GraphSpec, TrainedNetwork


class _Part(nn.Module):
    """A graph made of a part of the network."""

    def __init__(self, model: AVGN) -> None:
        super().__init__()
        self.model = model


class AudioEncoderGraph(_Part):
    """f_A on n windows, and f_C^A over them, which answers when there is no budget for more."""

    def forward(self, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
        """[n, 1, 96, 64] -> e^A [n, D_A], logits [1, C]."""
        audio = self.model.audio_encoder(spectrograms)
        head = self.model.audio_classifier
        pooled = head.embed(audio).amax(dim=0, keepdim=True)
        seen = torch.ones_like(audio[:, 0], dtype=torch.int64).sum(dim=0, keepdim=True)
        return audio, head.head(pooled, seen)


class GlobalEncoderGraph(_Part):
    """f_G on n frames, and FC^G of each."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 [n, H, W, 3] -> e^G [n, D_G, h, w], its spatial average [n, D_G], logits [n, C]."""
        feature_map = self.model.global_encoder(frames)
        visual = feature_map.mean(dim=(2, 3))
        return feature_map, visual, self.model.fc_g(visual)


class SaliencyGraph(_Part):
    """AV-TeST over the clip."""

    def forward(self, visual: Tensor, glanced: Tensor, audio: Tensor, heard: Tensor) -> Tensor:
        """[T, D_G], bool [T], [T, D_A], bool [T] -> s [T]."""
        known = self.model.with_silence(audio, heard)
        scores: Tensor = self.model.av_test(visual[None], glanced[None], known[None]).scores
        return scores[0]


class SpatialGraph(_Part):
    """AESPA and one step of π for one frame."""

    def forward(self, feature_map: Tensor, audio: Tensor, heard: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[1, D_G, h, w], [T, D_A], bool [T], state [1, hidden] -> corner (x, y) [1, 2] in pixels, next state."""
        known = self.model.with_silence(audio, heard)
        top_left, following = self.model.policy(self.model.aespa(feature_map, known[None]), state)
        return top_left, following


class LocalEncoderGraph(_Part):
    """f_L on n patches."""

    def forward(self, patches: Tensor) -> Tensor:
        """Float [n, P, P, 3], RGB 0–255 -> e^L [n, D_L]."""
        local: Tensor = self.model.local_encoder(patches)
        return local


class ClassifierGraph(_Part):
    """ψ and one step of f_C^AV for one moment."""

    def forward(
        self, visual: Tensor, local: Tensor, audio: Tensor, heard: Tensor, state: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[1, D_G], [1, D_L], [T, D_A], bool [T], running maximum [1, dim], int64 [1] counting this moment.

        -> logits of p_t [1, C], next running maximum, logits of p'_t, this moment by itself (Eq. 11), [1, C].
        """
        known = self.model.with_silence(audio, heard)
        fused = self.model.fuse(visual[None], local[None], known[None])[0]
        head = self.model.classifier
        hidden = head.embed(fused)
        following = torch.maximum(state, hidden)
        return head.head(following, seen), following, head.single(hidden)


def _flags(generator: torch.Generator, count: int) -> Tensor:
    return torch.rand(count, generator=generator) < 0.6


def _pixels(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _audio_example(m: AVGN, n: int, g: torch.Generator) -> tuple[Tensor, ...]:
    return (torch.randn(n, 1, *m.settings.front_end.shape, generator=g) * 2 - 3,)


def _global_example(m: AVGN, n: int, g: torch.Generator) -> tuple[Tensor, ...]:
    s = m.settings
    return (_pixels(g, n, s.frame_size, s.frame_size, 3),)


def _saliency_example(m: AVGN, _: int, g: torch.Generator) -> tuple[Tensor, ...]:
    s = m.settings
    visual = torch.rand(s.moments, m.global_encoder.channels, generator=g)
    audio = torch.rand(s.moments, m.audio_encoder.channels, generator=g)
    return visual, _flags(g, s.moments), audio, _flags(g, s.moments)


def _spatial_example(m: AVGN, _: int, g: torch.Generator) -> tuple[Tensor, ...]:
    s = m.settings
    feature_map = torch.rand(1, m.global_encoder.channels, s.grid, s.grid, generator=g)
    audio = torch.rand(s.moments, m.audio_encoder.channels, generator=g)
    return feature_map, audio, _flags(g, s.moments), torch.rand(1, s.policy_hidden, generator=g) * 2 - 1


def _local_example(m: AVGN, n: int, g: torch.Generator) -> tuple[Tensor, ...]:
    s = m.settings
    return (torch.rand(n, s.patch_size, s.patch_size, 3, generator=g) * 255,)


def _classifier_example(m: AVGN, _: int, g: torch.Generator) -> tuple[Tensor, ...]:
    s = m.settings
    visual = torch.rand(1, m.global_encoder.channels, generator=g)
    local = torch.rand(1, m.local_encoder.channels, generator=g)
    audio = torch.rand(s.moments, m.audio_encoder.channels, generator=g)
    state = torch.rand(1, s.classifier_dim, generator=g)
    return visual, local, audio, _flags(g, s.moments), state, torch.randint(1, s.moments + 1, (1,), generator=g)


GRAPH_SPECS: tuple[GraphSpec, ...] = (
    GraphSpec("audio_encoder", AudioEncoderGraph, ("spectrograms",), ("features", "logits"), True, _audio_example),
    GraphSpec(
        "global_encoder", GlobalEncoderGraph, ("frames",), ("feature_map", "features", "logits"), True, _global_example
    ),
    GraphSpec(
        "saliency",
        SaliencyGraph,
        ("visual", "glanced", "audio", "heard"),
        ("saliency",),
        False,
        _saliency_example,
    ),
    GraphSpec(
        "spatial",
        SpatialGraph,
        ("feature_map", "audio", "heard", "state"),
        ("top_left", "next_state"),
        False,
        _spatial_example,
    ),
    GraphSpec("local_encoder", LocalEncoderGraph, ("patches",), ("features",), True, _local_example),
    GraphSpec(
        "classifier",
        ClassifierGraph,
        ("visual", "local", "audio", "heard", "state", "seen"),
        ("logits", "next_state", "moment_logits"),
        False,
        _classifier_example,
    ),
)


def trained(model: AVGN) -> TrainedNetwork:
    """Return the network as export takes it."""
    settings = model.settings
    return TrainedNetwork(
        architecture="avgn",
        model=model,
        graphs=GRAPH_SPECS,
        labels=settings.labels,
        task=settings.task,
        settings=AvgnSettings(
            patch_size=settings.patch_size,
            glances=settings.glances,
            looks=settings.looks,
            audio_dim=model.audio_encoder.channels,
            global_dim=model.global_encoder.channels,
            local_dim=model.local_encoder.channels,
            policy_state=settings.policy_hidden,
            classifier_state=settings.classifier_dim,
            look_from=settings.look_from,
        ),
        preprocessing=Preprocessing(
            moments=settings.moments,
            sample_rate=settings.front_end.sample_rate,
            window_samples=settings.front_end.window_samples,
            resize=settings.resize,
            frame_size=settings.frame_size,
            front_end=settings.front_end.name,
        ),
        provenance={
            "backbones": f"{settings.audio_backbone}, {settings.global_backbone}, {settings.local_backbone}",
        },
    )


def read(path: Path) -> TrainedNetwork:
    """Read a checkpoint; BundleError for a file that is none."""
    return trained(checkpoint.load(path))
