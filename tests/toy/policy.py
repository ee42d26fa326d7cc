"""Listen; see one frame; see frame after frame."""

import numpy as np

from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.loop import Answer, Offer
from avgn_edge.runtime.moments_table import MomentsTable
from avgn_edge.runtime.scores import from_heads, probabilities


class Toy:
    def __init__(self, senses, manifest, runner, ledger, strategy):
        self._senses, self._runner, self._strategy, self._task = senses, runner, strategy, manifest.task
        self._order, self._heard_says = manifest.preprocessing.glance_order, None
        self.seen = MomentsTable.empty(manifest.preprocessing.moments, 1, 1, 0)
        self.exits, self.wanted_graphs = strategy.rules.at(strategy.glances), manifest.graph_names

    def offers(self):
        yield Offer((), self._listen, must=True)
        if not self._senses.has_video:
            return "no-visual"
        for step, moment in enumerate(self._order[: 1 + self._strategy.looks], start=1):
            if not (yield self._see(moment, step)):
                return "budget"
        return "looks"

    def _listen(self):
        spectrograms, self.seen.heard = self._senses.listen(self._order, lambda items: Run("ear", items))
        if len(spectrograms):
            logits = self._runner.run(Run("ear", len(spectrograms)), {"spectrograms": spectrograms})["logits"][0]
            self._heard_says = probabilities(logits, self._task)
            yield Answer(0, self._heard_says)

    def _see(self, moment, step):
        def take():
            frames = self._senses.frames([moment], Run("eye"))
            said = probabilities(self._runner.run(Run("eye"), {"frames": frames})["logits"][0], self._task)
            self.seen.frames[moment], self.seen.glance_probabilities[moment] = frames[0], said
            self.seen.glanced[moment] = True
            self.seen.saliency = np.asarray(self.seen.glanced, np.float32)
            if step > 1:
                self.seen.corners[moment] = (0.0, 0.0)
            yield Answer(step, from_heads(self._heard_says, tuple(self.seen.glance_probabilities.values())))

        return Offer((self._senses.decoding([moment]), Run("eye")), take, must=step == 1 and self._heard_says is None)


class ToyStream:
    least, dearest = (Run("ear"),), (Run("ear"), Run("eye"))

    def __init__(self, manifest, _rules, _attention):
        self._task, self._nothing = manifest.task, np.full(len(manifest.labels), 0.5, np.float32)
        self.seen = MomentsTable.empty(manifest.preprocessing.moments, 1, 1)

    def attend(self, sound, runner, ledger, _fullness, moments):
        seen, newest = self.seen, len(self.seen) - 1
        if sound is not None:
            logits = runner.run(Run("ear"), {"spectrograms": log_mel(sound[np.newaxis])})["logits"][0]
            seen.sound_probabilities[newest] = probabilities(logits, self._task)
        if newest in seen.frames and ledger.affords(Run("eye")):
            logits = runner.run(Run("eye"), {"frames": seen.frames[newest][np.newaxis]})["logits"][0]
            seen.glance_probabilities[newest], seen.glanced[newest] = probabilities(logits, self._task), True
        seen.saliency = seen.glanced.astype(np.float32)
        says = [one for one in map(seen.alone, range(newest + 1 - moments, newest + 1)) if one is not None]
        return np.mean(says, axis=0) if says else self._nothing


class ToyHighlights:
    listening, glancing, scoring = Run("ear"), Run("eye"), ()

    def __init__(self, manifest, runner, moments):
        self._runner, self._task, self.seen = runner, manifest.task, MomentsTable.empty(moments, 1, 1)

    def listen(self, spectrogram, moment):
        logits = self._runner.run(self.listening, {"spectrograms": spectrogram})["logits"]
        self.seen.sound_probabilities[moment] = probabilities(logits[0], self._task)

    def glance(self, frames, moments):
        logits = self._runner.run(Run("eye", len(frames)), {"frames": frames})["logits"]
        self.seen.glanced[moments] = True
        self.seen.glance_probabilities.update(zip(moments, probabilities(logits, self._task), strict=True))

    def saliency(self, window):
        return (self.seen.glanced[window] + self.seen.heard[window]).astype(np.float32)
