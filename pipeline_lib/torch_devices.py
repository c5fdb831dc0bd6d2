"""Whether to compute on a GPU; torch, which takes a second to load, is imported only where there may be one."""

from pathlib import Path
from typing import Literal, get_args

from storage.wrong_request import WrongRequest

DeviceChoice = Literal["auto", "cpu", "cuda"]

# What the drivers of NVIDIA and AMD put there on Linux, and Windows' subsystem for it: without one there is no GPU.
_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))


class NoSuchDevice(WrongRequest):
    """The recipe names a device that this machine does not have."""


def check_device_choice(choice: str) -> None:
    """Raises ValueError for what is no DeviceChoice."""
    if choice not in get_args(DeviceChoice):
        raise ValueError(f"device={choice!r} is none of {', '.join(get_args(DeviceChoice))}")


def use_gpu(choice: DeviceChoice) -> bool:
    """Whether the choice comes to a GPU on this machine: `auto` does where there is one.

    Raises:
        NoSuchDevice: `cuda` is asked for, and PyTorch finds none.
    """
    if choice == "cpu" or (choice == "auto" and not any(driver.exists() for driver in _DRIVERS)):
        return False
    import torch

    if torch.cuda.is_available():
        return True
    if choice == "cuda":
        raise NoSuchDevice("device 'cuda' was asked for, and PyTorch finds no GPU here; ask for 'auto' or 'cpu'")
    return False
