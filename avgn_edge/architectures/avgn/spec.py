"""What AVGN is to a bundle: six graphs, their sizes, and what goes in and out of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.architecture import ITEMS, Architecture, GraphRole
from avgn_edge.bundle.calibration_tables import FIRST_LOOK
from avgn_edge.bundle.manifest import NetworkSettings, Side, Width
from avgn_edge.bundle.strict_json import MAY_BE_MISSING, OneOf, refuse

if TYPE_CHECKING:
    from avgn_edge.bundle.architecture import Expected, Signatures
    from avgn_edge.bundle.manifest import Manifest, Preprocessing


@dataclass(frozen=True)
class AvgnSettings(NetworkSettings):
    """Sizes that the policy needs: the patch's side in pixels, widths of features and of recurrent states."""

    patch_size: Side
    audio_dim: Width
    global_dim: Width
    local_dim: Width
    policy_state: Width
    classifier_state: Width
    look_from: Annotated[str, OneOf(("glance", "source")), MAY_BE_MISSING] = "glance"
    """Whether frames have more pixels than f_G sees, which looks then have too."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        told = {"patch_size": self.patch_size, **super().to_dict()}  # where it has always stood
        if self.look_from == "glance":  # as bundles were before there was a choice
            del told["look_from"]
        return told

    def check(self, given: Preprocessing) -> None:
        """Refuse a patch that is larger than the frame."""
        if self.patch_size > given.frame_size:
            refuse("settings.patch_size", f"{self.patch_size} is more than {given.frame_size}, the frame's")


def signatures(manifest: Manifest) -> Signatures:
    """Return each graph's inputs and outputs, with their types and shapes."""
    sizes, given, labels = settings_of(manifest), manifest.preprocessing, len(manifest.labels)
    moments, frame, patch = given.moments, given.frame_size, sizes.patch_size

    def floats(*shape: int | str) -> Expected:
        return "float32", shape

    flags: Expected = "bool", (moments,)
    heard = {"audio": floats(moments, sizes.audio_dim), "heard": flags}
    policy, pooled = floats(1, sizes.policy_state), floats(1, sizes.classifier_state)
    return {
        "audio_encoder": (
            {"spectrograms": floats(ITEMS, 1, *given.sound.shape)},
            {"features": floats(ITEMS, sizes.audio_dim), "logits": floats(1, labels)},
        ),
        "global_encoder": (
            {"frames": ("uint8", (ITEMS, frame, frame, 3))},
            {
                "feature_map": floats(ITEMS, sizes.global_dim, "rows", "columns"),
                "features": floats(ITEMS, sizes.global_dim),
                "logits": floats(ITEMS, labels),
            },
        ),
        "saliency": (
            {"visual": floats(moments, sizes.global_dim), "glanced": flags, **heard},
            {"saliency": floats(moments)},
        ),
        "spatial": (
            {"feature_map": floats(1, sizes.global_dim, "rows", "columns"), **heard, "state": policy},
            {"top_left": floats(1, 2), "next_state": policy},
        ),
        "local_encoder": (
            {"patches": floats(ITEMS, patch, patch, 3)},
            {"features": floats(ITEMS, sizes.local_dim)},
        ),
        "classifier": (
            {
                "visual": floats(1, sizes.global_dim),
                "local": floats(1, sizes.local_dim),
                **heard,
                "state": pooled,
                "seen": ("int64", (1,)),
            },
            {"logits": floats(1, labels), "next_state": pooled, "moment_logits": floats(1, labels)},
        ),
    }


def settings_of(manifest: Manifest) -> AvgnSettings:
    """Return a manifest's settings as AVGN's; BundleError for another network."""
    settings = manifest.settings
    if not isinstance(settings, AvgnSettings):
        raise BundleError(f"bundle {manifest.name}", f"its network is {manifest.architecture}", "give one of AVGN")
    return settings


_LOOK = ("global_encoder", "spatial", "local_encoder", "classifier")

ARCHITECTURE = Architecture(
    name="avgn",
    graphs=(
        GraphRole("audio_encoder", "Listening: log-mel spectrograms, f_A", "audio", "heard", remembered=True),
        GraphRole("global_encoder", "Glances: f_G", "glance", "glanced", remembered=True),
        GraphRole("saliency", "When to look: saliency, AV-TeST", "saliency"),
        GraphRole("spatial", "Where to look: AESPA and π", "spatial"),
        GraphRole("local_encoder", "Looks: f_L", "local", "looked"),
        GraphRole("classifier", "Answers: ψ and f_C", "classify"),
    ),
    settings=AvgnSettings,
    signatures=signatures,
    prices={
        "a glance": ("global_encoder",),
        "saliency": ("saliency",),
        "a look": ("spatial", "local_encoder", "classifier"),
        "a look at a moment without a glance": _LOOK,
    },
    look=_LOOK,
    steps=lambda looks: FIRST_LOOK + looks,
    policy="avgn_edge.architectures.avgn.policy:AvgnPolicy",
    stream_policy="avgn_edge.architectures.avgn.stream_policy:AvgnStream",
    highlight_policy="avgn_edge.architectures.avgn.highlight_policy:AvgnHighlights",
    checkpoints="avgn_edge.architectures.avgn.split:read",
    training="avgn_edge.architectures.avgn.training.recipe:recipe",
)
GRAPHS = ARCHITECTURE.names
