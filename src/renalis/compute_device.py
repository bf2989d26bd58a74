"""Where networks compute: on the CPU, or on a CUDA device that is asked for and there."""

from __future__ import annotations

from typing import Literal

from renalis.errors import InputError

__all__ = ["Device", "DeviceChoice", "choose_device"]

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]


def choose_device(wanted: DeviceChoice) -> Device:
    """The device to compute on.

    Parameters
    ----------
    wanted : {"auto", "cpu", "cuda"}
        ``auto`` is CUDA where there is a device for it, else the CPU.

    Raises
    ------
    InputError
        If CUDA is wanted and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch  # late: other runtimes need no torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "auto":
        return "cpu"
    if torch.version.cuda is None:
        raise InputError(
            f"--device cuda: torch {torch.__version__} is built without CUDA; install a build with "
            "CUDA, or use --device cpu"
        )
    raise InputError(
        "--device cuda: torch finds no CUDA device here; check the driver with nvidia-smi, or use "
        "--device cpu"
    )
