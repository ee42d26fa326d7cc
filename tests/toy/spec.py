"""An ear and an eye, each with a head of its own."""

from avgn_edge.bundle.architecture import Architecture, GraphRole
from avgn_edge.bundle.manifest import NetworkSettings


def signatures(manifest):
    labels, frame = len(manifest.labels), manifest.preprocessing.frame_size
    return {
        "ear": ({"spectrograms": ("float32", ("n", 1, 96, 64))}, {"logits": ("float32", (1, labels))}),
        "eye": ({"frames": ("uint8", ("n", frame, frame, 3))}, {"logits": ("float32", ("n", labels))}),
    }


ARCHITECTURE = Architecture(
    name="toy",
    graphs=(GraphRole("ear", "Listening", "audio", "heard"), GraphRole("eye", "Seeing", "glance", "glanced", True)),
    settings=NetworkSettings,
    signatures=signatures,
    prices={"a frame": ("eye",)},
    look=("eye",),
    steps=lambda looks: 2 + looks,
    policy="toy.policy:Toy",
    stream_policy="toy.policy:ToyStream",
    highlight_policy="toy.policy:ToyHighlights",
    checkpoints="toy.graphs:read",
)
