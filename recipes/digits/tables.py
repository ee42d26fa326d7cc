"""The paper's tables on a composed set: `python -m recipes.digits.tables CHECKPOINT --data SET --work FOLDER`.

One network, each question asked of it by switching off what the question is about: saliency against uniform sampling at
the same k (Table 5), the patch (Table 6), T_G (Table 3), a modality. Networks trained without a part are given as
further checkpoints and compared at the same k (Tables 4 and 7).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.encoders import lay_out
from avgn_edge.architectures.avgn.network.inference import probabilities
from avgn_edge.architectures.avgn.training.validate import Answers, answers
from avgn_edge.cli.console import data as line
from avgn_edge.cli.formatting import columns
from recipes.digits.evidence import when_and_where
from recipes.digits.pool import FeaturePool, Pool, decode_pool, encode_pool

LOOKS = (1, 2, 4, 8)
GLANCES = (2, 4, 8, 12, 16)


@dataclass(frozen=True)
class Examined:
    """A network and the validation clips as it hears and sees them."""

    name: str
    model: AVGN
    data: FeaturePool

    @cached_property
    def whole(self) -> Answers:
        """All of it, at its own T_G, after up to eight looks."""
        return self.ask()

    def ask(self, glances: int | None = None, looks: int = LOOKS[-1], *, audio: bool = True) -> Answers:
        """Classify the clips."""
        with torch.autocast("cpu", torch.bfloat16):
            return answers(self.model, self.data.in_order(), glances, looks, audio=audio)

    @contextmanager
    def uniform(self) -> Iterator[None]:
        """Look at moments in glance order."""
        self.model.av_test.uniform = True
        yield
        self.model.av_test.uniform = self.model.settings.sampling == "uniform"

    @contextmanager
    def centred(self) -> Iterator[None]:
        """Look at the centre of the frame."""
        self.model.policy.centred = True
        yield
        self.model.policy.centred = self.model.settings.patches == "centre"

    def local_alone(self, done: Answers, looks: int) -> float:
        """Top-1 of the mean of FC^L over the first looks: local features and nothing else."""
        with torch.no_grad():
            each = probabilities(self.model.fc_l(done.looks.local[:, :looks].float()), self.model.settings.task)
        return _share(each.mean(dim=1).argmax(dim=1) == done.target)

    def sound_alone(self) -> float:
        """Top-1 of f_C^A over the windows that were heard; a clip without any is wrong."""
        head = self.model.audio_classifier
        right = []
        with torch.no_grad():
            for batch in self.data.in_order():
                every = self.model.audio_encoder(batch.spectrograms.flatten(0, 1)).unflatten(0, batch.heard.shape)
                for audio, heard, target in zip(every, batch.heard, batch.target, strict=True):
                    known = audio[heard]
                    if not len(known):
                        right.append(torch.tensor(data=False))
                        continue
                    pooled = head.embed(known).amax(dim=0, keepdim=True)
                    right.append(head.head(pooled, torch.tensor([len(known)])).argmax(dim=1)[0] == target)
        return _share(torch.stack(right))

    def when(self, done: Answers) -> tuple[float, float]:
        """When and where of the first look."""
        return when_and_where(done.looks, self.data.pool, self.model.settings.patch_size)


def _share(right: Tensor) -> float:
    return float(right.float().mean())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for text in columns([tuple(head), *map(tuple, rows)], right=frozenset(range(1, len(head)))):
        line(text)
    line("")


def _percent(*shares: float) -> tuple[str, ...]:
    return tuple(f"{100 * share:.1f}" for share in shares)


def _at(done: Answers) -> tuple[str, ...]:
    return _percent(*(done.top1(k) for k in LOOKS))


def _sampling_and_glances(one: Examined) -> None:
    head = ("top-1 after k looks", *(f"k={k}" for k in LOOKS), "when")
    rows = [("AV-TeST", *_at(one.whole), *_percent(one.when(one.whole)[0]))]
    with one.uniform():
        done = one.ask()
        rows.append(("uniform", *_at(done), *_percent(one.when(done)[0])))
    _table(head, rows)
    rows = []
    for glances in GLANCES:
        done = one.whole if glances == one.model.settings.glances else one.ask(glances)
        rows.append((f"T_G={glances}", *_at(done), *_percent(one.when(done)[0])))
    _table(head, rows)


def _patches(one: Examined) -> None:
    rows = []
    with one.centred():
        done = one.ask()
        local = _percent(*(one.local_alone(done, k) for k in LOOKS))
        rows.append(("centre crop", *local, *_percent(one.when(done)[1])))
    local = _percent(*(one.local_alone(one.whole, k) for k in LOOKS))
    rows.append(("AESPA + π", *local, *_percent(one.when(one.whole)[1])))
    _table(("local features alone", *(f"k={k}" for k in LOOKS), "where"), rows)


def _modalities(one: Examined) -> None:
    rows = [("both", *_at(one.whole)), ("audio removed", *_at(one.ask(audio=False)))]
    rows.append(("vision removed", *(_percent(one.sound_alone()) * len(LOOKS))))
    _table(("top-1 after k looks", *(f"k={k}" for k in LOOKS)), rows)


def _compared(all_of_them: Sequence[Examined]) -> None:
    """Short ablations train few looks a clip: the heads of more are not compared."""
    few = LOOKS[:3]
    rows = []
    for one in all_of_them:
        done = one.ask(looks=few[-1])
        shares = [done.top1(k) for k in few]
        rows.append((one.name, *_percent(*shares, *one.when(done), one.local_alone(done, few[-1]))))
    _table(("trained as", *(f"k={k}" for k in few), "when", "where", f"local k={few[-1]}"), rows)


def _examine(path: Path, pool: Pool, features: Path) -> Examined:
    """Open one; networks whose frozen encoders are the same share what they say of the clips."""
    model = checkpoint.load(path)
    lay_out(model.local_encoder)
    data = FeaturePool.open(pool, features) if features.exists() else encode_pool(model, pool, features)
    return Examined(path.stem, model, data)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m recipes.digits.tables", description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="the first is examined closely")
    parser.add_argument("--data", type=Path, required=True, help="a folder that `avgn-edge synth` wrote")
    parser.add_argument("--work", type=Path, required=True, help="where decoded clips and features are kept")
    parser.add_argument("--only-compare", action="store_true", help="the comparison of the checkpoints alone")
    options = parser.parse_args()
    classes = checkpoint.load(options.checkpoints[0]).settings.labels
    pool = decode_pool(options.work / "decoded", options.data, classes)
    all_of_them = [_examine(path, pool, options.work / "features.npy") for path in options.checkpoints]
    line(f"{len(pool)} clips, {int(pool.seen.any(axis=1).sum())} with a card that can be read")
    line("")
    if not options.only_compare:
        _sampling_and_glances(all_of_them[0])
        _patches(all_of_them[0])
        _modalities(all_of_them[0])
    if len(all_of_them) > 1:
        _compared(all_of_them)


if __name__ == "__main__":
    main()
