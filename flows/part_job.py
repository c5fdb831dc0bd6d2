"""One part's work, as a worker gets it: imports no more than the stage's own code, so that workers stay small."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.cpu_time import CpuMeter
from storage.manifests import Part, PartRecord, PartResult, PartWriter, StageAddress, open_stage
from storage.store import Store


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """All that a worker needs to make one part. `inputs_url`: the store of the inputs, where it is another one."""

    store_url: str
    address: StageAddress
    part: Part
    inputs: Mapping[str, StageAddress]
    parameters: Any
    work: Callable[..., PartResult]
    inputs_url: str | None = None


def make_part(job: PartJob) -> PartRecord:
    """Work on one part, wherever this is called, and publish it with its record."""
    began = time.monotonic()
    store = Store(job.store_url)
    source = store if job.inputs_url is None else Store(job.inputs_url)
    inputs = {name: open_stage(source, address) for name, address in job.inputs.items()}
    output = PartWriter(store=store, address=job.address, part=job.part.name)
    with CpuMeter() as cpu:
        result = job.work(job.part, inputs, output, job.parameters)
    took = {"seconds": round(time.monotonic() - began, 3), "cpu_seconds": cpu.seconds}
    return output.commit(result.account, {**result.metrics, **took})
