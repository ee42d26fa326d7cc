"""The objective of section 3.4: six losses, each in its own function, and the module that sums them."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from avgn_edge.architectures.avgn.network.attention import Saliency
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.inference import probabilities
from avgn_edge.architectures.avgn.training.forward import (
    ClipFeatures,
    Pass,
    features_of,
    guidance_loss,
    random_patches,
    run,
)
from avgn_edge.architectures.avgn.training.training_settings import TrainingSettings
from avgn_edge.media.moments import GLANCE_ORDER
from avgn_edge.training.batches import Batch
from avgn_edge.training.stages import Objective


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """L_CE of [b, m, C] logits against a clip's target, averaged over all of them."""
    moments = logits.shape[1]
    if target.dim() == 1:
        return F.cross_entropy(logits.flatten(0, 1), target.repeat_interleave(moments))
    return F.binary_cross_entropy_with_logits(logits, target.unsqueeze(1).expand_as(logits))


def classification_loss(model: AVGN, done: Pass, target: Tensor) -> Tensor:
    """L_p: cross entropy of p_t for all t (Eq. 8)."""
    return cross_entropy(model.classifier.prefixes(done.hidden), target)


def visual_loss(model: AVGN, done: Pass, target: Tensor) -> Tensor:
    """L_V: FC^G, FC^L and f_C^V, averaged over the moments (Eq. 9)."""
    sequence = model.visual_classifier.embed(torch.cat((done.visual, done.local), dim=-1))
    return (
        cross_entropy(model.fc_g(done.visual), target)
        + cross_entropy(model.fc_l(done.local), target)
        + cross_entropy(model.visual_classifier.prefixes(sequence), target)
    )


def audio_loss(model: AVGN, done: Pass, target: Tensor) -> Tensor:
    """L_A: FC^A and f_C^A, averaged over the moments, of the clips that have sound (Eq. 10)."""
    clips = done.heard.any(dim=1)
    if not clips.any():
        return done.audio.sum() * 0
    order = torch.tensor(GLANCE_ORDER)
    audio, target = done.audio[clips][:, order], target[clips]
    sequence = model.audio_classifier.embed(audio)
    return cross_entropy(model.fc_a(audio), target) + cross_entropy(model.audio_classifier.prefixes(sequence), target)


def saliency_targets(model: AVGN, done: Pass) -> Tensor:
    """s̃_t: each moment's own confidence over the clip's largest (Eqs. 11, 12), [b, T], without gradient."""
    with torch.no_grad():
        confidence = probabilities(model.classifier.single(done.alone), model.settings.task).amax(dim=-1)
        return confidence / confidence.amax(dim=1, keepdim=True)


def saliency_loss(model: AVGN, done: Pass) -> Tensor:
    """L_s: L1 between s_t and s̃_t (Eq. 12)."""
    return F.l1_loss(done.saliency.scores, saliency_targets(model, done))


def mask_loss(done: Pass) -> Tensor:
    """L_mask: L2 between the rebuilt and the embedded visual tokens, where they were masked (3.4).

    The embedded tokens are the target and carry no gradient.
    """
    masked = ~done.glanced
    if not masked.any():
        return done.rebuilt.sum() * 0
    return F.mse_loss(done.rebuilt[masked], done.saliency.embedded.detach()[masked])


def ordered_loss(model: AVGN, done: Pass, target: Tensor, temperature: float = 5.0) -> Tensor:
    """L_ord: moments reordered by saliency, a few of them drawn with Gumbel-softmax (Eq. 13).

    The draw is a straight-through one: hard in the value, soft in the gradient that reaches s_t. The head is chosen
    by the number of moments seen.
    """
    scores = done.saliency.scores
    moments = scores.shape[1]
    few = int(torch.randint(1, moments // 2 + 1, ()))
    noise = -torch.empty_like(scores).exponential_().log()
    soft = ((scores + noise) / temperature).softmax(dim=1) * few
    chosen = torch.topk(scores + noise, few, dim=1).indices
    chosen = chosen.gather(1, scores.gather(1, chosen).argsort(dim=1, descending=True))  # most salient first
    weight = soft.gather(1, chosen)
    weight = 1 + weight - weight.detach()
    hidden = done.hidden.gather(1, chosen.unsqueeze(-1).expand(-1, -1, done.hidden.shape[-1]))
    return cross_entropy(model.classifier.prefixes(hidden * weight.unsqueeze(-1)), target)


class AvgnObjective(Objective):
    """All terms of the loss that count; ValueError for settings that do not fit the network."""

    def __init__(self, model: AVGN, settings: TrainingSettings) -> None:
        super().__init__(asdict(settings.losses))
        if settings.losses.guidance and model.settings.task == "multi-label":
            raise ValueError("guidance needs one label a clip")
        self.model = model
        self.settings = settings

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Losses by name, as `LossWeights` has them, unweighted scalars in float32; those with weight 0 left out."""
        model, settings, target = self.model, self.settings, batch.target
        order = self._order(step).to(batch.frames.device)
        with torch.autocast(batch.frames.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            features = self._features(batch)
            done = run(model, batch.frames, features, order, settings.mask_ratio, own_moment=settings.own_moment)
            # Drawn last, so that the other terms are the same with and without it.
            crops = self.weights["random_crop"]
            second = random_patches(model, batch.frames, features, order) if crops else done.hidden
        done = _exact(done)
        terms = {
            "classification": lambda: classification_loss(model, done, target),
            "visual": lambda: visual_loss(model, done, target),
            "audio": lambda: audio_loss(model, done, target),
            "saliency": lambda: saliency_loss(model, done),
            "mask": lambda: mask_loss(done),
            "ordered": lambda: ordered_loss(model, done, target),
            "random_crop": lambda: cross_entropy(model.classifier.prefixes(second.float()), target),
            "guidance": lambda: guidance_loss(model, features.maps[:, order].float(), done.top_left, target),
        }
        return {name: terms[name]() for name, weight in self.weights.items() if weight}

    def _order(self, step: int) -> Tensor:
        """Return the moments that f_L sees in a step, int64, in glance order; those of `looks` are drawn."""
        order, looks = torch.tensor(GLANCE_ORDER), self.settings.looks
        if looks is None or step % self.settings.all_looks_every == 0:
            return order
        return order[torch.randperm(len(order))[:looks].sort().values]

    def _features(self, batch: Batch) -> ClipFeatures:
        """f_G and f_A; some clips lose their sound."""
        muted = torch.rand(len(batch)) < self.settings.audio_dropout
        heard = batch.heard & ~muted.unsqueeze(1).to(batch.heard.device) & self.model.settings.audio
        return features_of(self.model, batch, heard)


def _exact(done: Pass) -> Pass:
    """The same in float32: losses are not taken in half precision."""
    parts = {field.name: getattr(done, field.name) for field in fields(done) if field.name != "saliency"}
    exact = {name: value.float() for name, value in parts.items() if value.dtype.is_floating_point}
    scores = Saliency(done.saliency.scores.float(), done.saliency.embedded.float(), done.saliency.features.float())
    return replace(done, saliency=scores, **exact)
