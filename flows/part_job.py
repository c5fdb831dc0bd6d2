"""One part's work, as a worker gets it: imports no more than the stage's own code, so that workers stay small."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.part_usage import USAGE, measured
from storage.leases import Claim
from storage.manifests import (
    OtherContent,
    Part,
    PartRecord,
    PartResult,
    PartWriter,
    PublishedStage,
    StageAddress,
    open_stage,
)
from storage.store import Store

# Records of parts in the manifests that a process keeps: some 3 KB each. A stage of a thousand parts reads a thousand
# times the manifests of all its inputs otherwise.
_MAX_KEPT_RECORDS = 20_000

_kept: OrderedDict[tuple[str, StageAddress, str], PublishedStage] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """All that a worker needs to make one part.

    Attributes:
        inputs_url: the store of the inputs, where it is another one.
        versions: `Manifest.version_digest` of each input that may be kept from job to job: a job never reads an input
            that was made anew meanwhile.
        claim: the lease under which the part is made; None: nobody else makes it.
        damaged, may_change: see `PartWriter`.
    """

    store_url: str
    address: StageAddress
    part: Part
    inputs: Mapping[str, StageAddress]
    parameters: Any
    work: Callable[..., PartResult]
    inputs_url: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    claim: Claim | None = None
    damaged: PartRecord | None = None
    may_change: bool = True


def make_part(job: PartJob) -> PartRecord:
    """Work on one part, wherever this is called, and publish it with its record.

    Raises:
        OtherContent: it was published meanwhile and says something else, or an input was made anew.
    """
    began = time.monotonic()
    store = Store(job.store_url)
    source = store if job.inputs_url is None else Store(job.inputs_url)
    inputs = {name: _open_input(source, address, job.versions.get(name)) for name, address in job.inputs.items()}
    output = PartWriter(
        store=store,
        address=job.address,
        part=job.part.name,
        claim=job.claim,
        damaged=job.damaged,
        may_change=job.may_change,
    )
    with measured(job.address.stage) as usage:
        result = job.work(job.part, inputs, output, job.parameters)
    took = {"seconds": round(time.monotonic() - began, 3), USAGE: usage}
    return output.commit(result.account, {**result.metrics, **took})


def keep_input(published: PublishedStage) -> None:
    """Keep a manifest that this process has read for the jobs that read it."""
    manifest = published.manifest
    with _lock:
        _kept[published.store.url, manifest.address, manifest.version_digest] = published
        _kept.move_to_end((published.store.url, manifest.address, manifest.version_digest))
        num_records = sum(len(each.manifest.parts) for each in _kept.values())
        while num_records > _MAX_KEPT_RECORDS and len(_kept) > 1:
            _, gone = _kept.popitem(last=False)
            num_records -= len(gone.manifest.parts)


def _open_input(store: Store, address: StageAddress, version: str | None) -> PublishedStage:
    if version is None:
        return open_stage(store, address)
    with _lock:
        found = _kept.get((store.url, address, version))
        if found is not None:
            _kept.move_to_end((store.url, address, version))
            return found
    published = open_stage(store, address)
    if published.manifest.version_digest != version:
        raise OtherContent(
            f"{store.full_path(address.folder)} was made anew by another run while this one read it, and has other "
            "content now; run again to go on with that"
        )
    keep_input(published)
    return published
