"""Where a model computes, and in which precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
import torch.utils.deterministic as determinism

from model.parameters import DeviceChoice, PrecisionChoice


class NoSuchDevice(ValueError):
    """The recipe names a device that this machine does not have."""


def choose_device(choice: DeviceChoice) -> torch.device:
    """`auto` is the GPU where there is one."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise NoSuchDevice("device 'cuda' was asked for, and PyTorch finds no GPU here; ask for 'auto' or 'cpu'")
    if choice == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(choice)


def choose_precision(choice: PrecisionChoice, device: torch.device) -> torch.dtype:
    """The type of matrix products; `auto` is bfloat16 where the hardware has it (an emulated one is slower than
    float32). Weights, sums and softmax stay float32 in any case."""
    if choice != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[choice]
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        has_bfloat16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32


def precision_name(dtype: torch.dtype) -> PrecisionChoice:
    return "bfloat16" if dtype == torch.bfloat16 else "float32"


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Matrix products in `dtype` while it is entered."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


@contextmanager
def repeatable(device: torch.device, num_threads: int | None) -> Iterator[None]:
    """Deterministic kernels on the CPU and a number of threads (`None`: as it is) while it is entered.

    On the CPU equal inputs then give equal bits, for one number of threads: sums are split among threads, and
    floating-point sums depend on the split. On GPUs the deterministic kernels cost speed and are left alone.
    """
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    fill_before = determinism.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property that torch hangs on the module
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # fills every new tensor with NaN: for finding reads of unwritten memory, at a cost
        determinism.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property that torch hangs on the module
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(deterministic_before)
        determinism.fill_uninitialized_memory = fill_before  # type: ignore[attr-defined]  # a property that torch hangs on the module
