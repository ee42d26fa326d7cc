"""Several processes that train one network, as `torchrun` starts them (PyTorch's DistributedDataParallel)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long processes wait for the first, which alone checks data and validates."""


@dataclass(frozen=True)
class World:
    """This process among those of its run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Which of the processes of this machine, and so which GPU."""
    local_size: int = 1

    @classmethod
    def from_environment(cls) -> World:
        """Read what torchrun sets; one process alone without it."""
        rank, size, local_rank, local_size = (
            int(os.environ.get(name, default))
            for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
        )
        return cls(rank, size, local_rank, local_size)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, tells and validates."""
        return self.rank == 0

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Find the other processes, if there are any, and leave them at the end."""
        if self.size == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def wrapped(self, objective: nn.Module) -> nn.Module:
        """Let the processes average their gradients.

        Batch norms stay each process's own, and the first one's statistics are kept: a batch of 24 clips is 384 frames,
        enough for statistics without synchronising them.
        """
        # Some heads see nothing in some steps: those of sequences longer than the moments that were looked at.
        return objective if self.size == 1 else DistributedDataParallel(objective, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """Average over the processes, elementwise."""
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """Return to every process what the first one makes."""
        if self.size == 1:
            return make()
        shared: list[T | None] = [make() if self.first else None]
        distributed.broadcast_object_list(shared)
        return shared[0]  # type: ignore[return-value] # the first one's by now

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            distributed.barrier()
