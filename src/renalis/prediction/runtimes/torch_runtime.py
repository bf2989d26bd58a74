"""Networks computed by torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["TorchNetwork", "has_bf16"]


class TorchNetwork:
    """A network in eager torch.

    Parameters
    ----------
    network : Module
        Gives logits (N, 4, Z, Y, X) for (N, C, Z, Y, X).
    bf16 : bool
        Compute convolutions in bfloat16.
    threads : int or None
        Threads of this whole process from now on; None leaves them.
    device : str
        Where to compute, as torch names it.
    """

    def __init__(
        self,
        network: nn.Module,
        bf16: bool = False,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.bf16 = bf16

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, 3, Z, Y, X) of kidney, tumor, cyst."""
        image = torch.from_numpy(np.ascontiguousarray(patches)).to(self.device)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
        with torch.inference_mode(), autocast:
            logits = self.network(image)
        probability = torch.softmax(logits.float(), 1)[:, 1:]
        return np.asarray(probability.cpu().numpy())


def has_bf16() -> bool:
    """Whether this processor computes with bfloat16; elsewhere it would be emulated, slowly."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    if not capabilities.startswith("AVX512"):
        return False
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(native()) if native is not None else False
