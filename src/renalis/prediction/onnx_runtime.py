"""Networks computed by ONNX Runtime, without torch once the graph has been made."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["OnnxNetwork"]


class OnnxNetwork:
    """An ONNX model in a session of its own, in float32.

    Parameters
    ----------
    graph : bytes
        The model; gives probabilities (N, 4, Z, Y, X) for (N, C, Z, Y, X). From
        `renalis.prediction.exported.exported_onnx`.
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
        (answer,) = self._session.run(None, {"image": np.ascontiguousarray(patches)})
        return np.asarray(answer[:, 1:])
