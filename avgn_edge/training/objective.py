"""The objective of section 3.4 as one module: a batch goes in, the losses come out, one forward pass for DDP to see."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.saliency import Saliency
from avgn_edge.media.order import GLANCE_ORDER
from avgn_edge.training import losses as paper
from avgn_edge.training.batch import Batch
from avgn_edge.training.forward import ClipFeatures, Pass, encode, random_patches, run
from avgn_edge.training.guidance import guidance_loss
from avgn_edge.training.settings import LossWeights, TrainingSettings

TERMS = tuple(field.name for field in fields(LossWeights))
"""Names of the terms, as `LossWeights` has them."""


class Objective(nn.Module):
    """All terms of the loss that count."""

    def __init__(self, model: AVGN, settings: TrainingSettings) -> None:
        super().__init__()
        if settings.losses.guidance and model.settings.task == "multi-label":
            raise ValueError("guidance needs one label a clip")
        self.model = model
        self.settings = settings

    def forward(self, batch: Batch, looks: int | None = None) -> dict[str, Tensor]:
        """Losses by name, unweighted scalars in float32, those with weight 0 left out.

        `looks` moments are drawn for f_L to see; None for all. Draws come from PyTorch's global generator.
        """
        model, weights = self.model, self.settings.losses
        order = torch.tensor(GLANCE_ORDER)
        if looks is not None:
            order = order[torch.randperm(len(order))[:looks].sort().values]
        order = order.to(batch.frames.device)
        with torch.autocast(batch.frames.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            features = self._features(batch)
            done = run(
                model, batch.frames, features, order, self.settings.mask_ratio, own_moment=self.settings.own_moment
            )
            # Drawn last, so that the other terms are the same with and without it.
            second = random_patches(model, batch.frames, features, order) if weights.random_crop else done.hidden
        done, target = _exact(done), batch.target
        terms = {
            "classification": lambda: paper.classification_loss(model, done, target),
            "visual": lambda: paper.visual_loss(model, done, target),
            "audio": lambda: paper.audio_loss(model, done, target),
            "saliency": lambda: paper.saliency_loss(model, done),
            "mask": lambda: paper.mask_loss(done),
            "ordered": lambda: paper.ordered_loss(model, done, target),
            "random_crop": lambda: paper.random_crop_loss(model, second, target),
            "guidance": lambda: guidance_loss(model, features.maps[:, order].float(), done.top_left, target),
        }
        return {name: terms[name]() for name in TERMS if getattr(weights, name)}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Weighted sum."""
        return torch.stack([getattr(self.settings.losses, name) * value for name, value in terms.items()]).sum()

    def _features(self, batch: Batch) -> ClipFeatures:
        """f_G and f_A, or what they said beforehand; some clips lose their sound."""
        model = self.model
        muted = torch.rand(len(batch)) < self.settings.audio_dropout
        heard = batch.heard & ~muted.unsqueeze(1).to(batch.heard.device)
        if not model.settings.audio:
            heard = torch.zeros_like(heard)
        if batch.maps is not None and batch.audio is not None:
            return ClipFeatures(batch.maps.float(), model.with_silence(batch.audio, heard), heard)
        return encode(model, batch.frames, batch.spectrograms, heard)


def _exact(done: Pass) -> Pass:
    """The same in float32: losses are not taken in half precision."""
    parts = {field.name: getattr(done, field.name) for field in fields(done)}
    exact = {
        name: value.float()
        for name, value in parts.items()
        if isinstance(value, Tensor) and value.dtype.is_floating_point
    }
    scores = Saliency(done.saliency.scores.float(), done.saliency.embedded.float(), done.saliency.features.float())
    return replace(done, saliency=scores, **exact)
