"""Networks computed by ONNX Runtime, without torch once the graph has been made.

The import of ONNX Runtime alone gives the machine an identity, keeps it in the user's cache folder
and reports to a web service; the switch in its own interface comes too late for that. So its
variable is set before. If a program has imported it before renalis, that was its own decision.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

__all__ = ["OnnxNetwork"]


class OnnxNetwork:
    """An ONNX model in a session of its own, in float32.

    Parameters
    ----------
    graph : bytes
        The model; gives probabilities (N, 4, Z, Y, X) for (N, C, Z, Y, X). From
        `renalis.prediction.runtimes.graph_cache.exported_onnx`.
    threads : int or None
        Threads; None for ONNX Runtime's own choice.
    """

    def __init__(self, graph: bytes, threads: int | None = None) -> None:
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, 3, Z, Y, X) of kidney, tumor, cyst."""
        (probability,) = self._session.run(None, {"image": np.ascontiguousarray(patches)})
        return np.asarray(probability[:, 1:])
