"""Networks computed by OpenVINO, without torch once the graph has been made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.runtimes.quiet_openvino import core

__all__ = ["OpenVinoNetwork"]


class OpenVinoNetwork:
    """A network compiled by OpenVINO for patches of any shape that its strides divide.

    Parameters
    ----------
    graph : openvino.Model
        Gives probabilities (N, 4, Z, Y, X) for (N, C, Z, Y, X); from
        `renalis.prediction.runtimes.graph_cache.exported_graph`.
    bf16 : bool
        Let OpenVINO compute in bfloat16.
    threads : int or None
        Threads; None for OpenVINO's own choice.
    """

    def __init__(self, graph: Any, bf16: bool = False, threads: int | None = None) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        channels = graph.input(0).get_partial_shape()[1]
        graph.reshape([-1, channels, -1, -1, -1])
        self._compiled = core().compile_model(graph, "CPU", settings)
        self._request = self._compiled.create_infer_request()

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, 3, Z, Y, X) of kidney, tumor, cyst, where the next call's will be."""
        self._request.infer({0: np.ascontiguousarray(patches)}, share_inputs=True)
        return np.asarray(self._request.get_output_tensor(0).data[:, 1:])

    def release(self) -> None:
        """Give back what activations took; probabilities have to be copied before.

        Other runtimes give it back by themselves. The next call takes it again.
        """
        self._compiled.release_memory()
