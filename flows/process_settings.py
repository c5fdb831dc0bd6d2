"""Settings that libraries read once, when they are imported: nothing here imports any of them."""

import os

from flows.compiled import keep_compiled_kernels


def prepare_process() -> None:
    """Have this process and its workers find compiled kernels, and leave cores to others; before any other import."""
    keep_compiled_kernels()
    # Threads that wait asleep: spinning ones take the cores from each other where anything else runs beside
    # training (measured with one busy neighbour a core: 4 times the CPU time, a third of the tokens a second).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
