"""The Audio-Visual Glance Network: the modules of Appendix C put together (AVGN, Fig. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.attention import AESPA, AudioFusion, AVTeST, MaskEncoder
from avgn_edge.architectures.avgn.network.classifier import SequenceClassifier
from avgn_edge.architectures.avgn.network.encoders import AudioEncoder, GlobalEncoder, LocalEncoder
from avgn_edge.architectures.avgn.network.patch_policy import PatchPolicy
from avgn_edge.architectures.avgn.network.settings import Settings


class AVGN(nn.Module):
    """Holds the modules; how they follow one another is in `inference` (3.5) and in `training` (3.4)."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.audio_encoder = AudioEncoder(settings)  # f_A
        self.global_encoder = GlobalEncoder(settings)  # f_G
        self.local_encoder = LocalEncoder(settings)  # f_L
        d_a, d_g, d_l = self.audio_encoder.channels, self.global_encoder.channels, self.local_encoder.channels
        # Stands in for e^A where a moment has no sound; this repository's choice, the paper's clips all have audio.
        self.no_audio = nn.Parameter(torch.zeros(d_a))
        self.av_test = AVTeST(settings, d_a, d_g)  # TF_AV, FC_s
        self.aespa = AESPA(settings, d_a, d_g)  # æ
        self.policy = PatchPolicy(settings)  # π
        self.fusion = AudioFusion(settings, d_a, d_g)  # ψ
        self.classifier = SequenceClassifier(settings, d_g + d_l + settings.fusion_dim)  # f_C^AV
        classes = len(settings.labels)
        self.fc_g = nn.Linear(d_g, classes)  # FC^G
        self.fc_l = nn.Linear(d_l, classes)  # FC^L
        self.fc_a = nn.Linear(d_a, classes)  # FC^A
        self.visual_classifier = SequenceClassifier(settings, d_g + d_l)  # f_C^V
        self.audio_classifier = SequenceClassifier(settings, d_a)  # f_C^A
        self.mask_encoder = MaskEncoder(settings)

    def with_silence(self, audio: Tensor, heard: Tensor) -> Tensor:
        """Put the no-audio token where nothing was heard: e^A [..., D_A], bool [...] -> [..., D_A]."""
        return torch.where((heard & self.settings.audio).unsqueeze(-1), audio, self.no_audio)

    def fuse(self, visual: Tensor, local: Tensor, audio: Tensor) -> Tensor:
        """[e^G, e^L, e^AT] of m moments: [b, m, D_G], [b, m, D_L], [b, T, D_A] -> [b, m, sum] (3.3).

        No gradient goes from ψ into e^G (3.4).
        """
        attended = self.fusion(visual.detach(), audio)
        return torch.cat((visual, local, attended), dim=-1)
