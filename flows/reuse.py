"""What of a stage is published already, and what of that is to be made again: the damaged, and what was lost.

Other runs may read the stage, or make it, at this moment. What they use is mended where it lies and with the content it
had, and stays as it is where something was lost; only what no other run uses is taken away. To that end every run tells
which stages it uses before it looks at them (`Session.use`), and whoever takes something away does so under a lease on
the stage, and looks first who uses it: of two at once, one sees the other.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from flows.session import Session
from storage.leases import Holder, Lease
from storage.manifests import (
    Manifest,
    PartRecord,
    StageAddress,
    damage,
    manifest_path,
    part_record_path,
    read_manifest,
    read_part_record,
)
from storage.tables import DamagedFile

LOST_TABLE = "lost"

_READERS = 8  # requests at once where records are read from a store far away
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a stage stands before a run works on it.

    Attributes:
        manifest: the commit, where all its parts can be used as they are.
        whole: parts that are published and were verified just now.
        recorded: other parts that have a record, which is to be verified.
        damaged: parts of a committed stage that are not what was published.
        is_committed: whether there is a manifest, good or damaged, which another takes the place of.
    """

    manifest: Manifest | None = None
    whole: Mapping[str, PartRecord] = field(default_factory=dict)
    recorded: Mapping[str, PartRecord] = field(default_factory=dict)
    damaged: Mapping[str, PartRecord] = field(default_factory=dict)
    is_committed: bool = False


def standing_of(session: Session, address: StageAddress) -> Standing:
    """Look at all that is published of a stage, and take away what is to be made again and may be taken away."""
    session.use(address)
    _wait_for_removal(session, address)
    try:
        manifest = read_manifest(session.store, address)
        is_committed = manifest is not None
    except DamagedFile as error:
        session.warn(f"{address.stage}: its manifest is damaged ({error}); parts are checked one by one")
        manifest, is_committed = None, True
    if manifest is None:
        recorded = _without_losses(session, address, _recorded_parts(session, address))
        return Standing(recorded=recorded, is_committed=is_committed)
    whole, damaged = _verified(session, manifest)
    if damaged:
        return Standing(whole=whole, damaged=damaged, is_committed=True)
    without = _without_losses(session, address, whole)
    if len(without) < len(whole):
        return Standing(whole=without)
    return Standing(manifest=manifest)


def has_losses(part: PartRecord) -> bool:
    return any(record.table == LOST_TABLE for record in part.files)


def _verified(session: Session, manifest: Manifest) -> tuple[dict[str, PartRecord], dict[str, PartRecord]]:
    """The parts of a manifest that are whole, and those that are not."""
    whole, damaged = {}, {}
    for part in manifest.parts:
        wrong = damage(session.store, manifest.address, part)
        if wrong is None:
            whole[part.name] = part
        else:
            damaged[part.name] = part
            session.warn(f"{manifest.stage}: {part.name} is damaged: {wrong}; it is made again")
    return whole, damaged


def _recorded_parts(session: Session, address: StageAddress) -> dict[str, PartRecord]:
    """The parts that a stage without a manifest has so far, from one listing."""
    names = [name.removesuffix(".json") for name in session.store.names(f"{address.folder}/parts")]
    with ThreadPoolExecutor(_READERS) as readers:
        records = readers.map(lambda name: read_part_record(session.store, address, name), names)
        return {name: record for name, record in zip(names, records, strict=True) if record is not None}


def _without_losses(session: Session, address: StageAddress, parts: Mapping[str, PartRecord]) -> dict[str, PartRecord]:
    """The parts without those in which something was lost, which are taken away; all, where other runs use them."""
    lossy = {name: part for name, part in parts.items() if has_losses(part)}
    if not lossy:
        return dict(parts)
    listed = f"{', '.join([*lossy][:5])}{', …' * (len(lossy) > 5)}"
    with _removal(session, address) as others:
        if others:
            session.warn(
                f"{address.stage}: what was lost in {listed} is not tried again: {others[0]} uses the stage now",
            )
            return dict(parts)
        session.warn(f"{address.stage}: trying again what was lost in {listed}")
        store = session.store
        store.remove(manifest_path(address))  # first: from here on readers see an unfinished stage
        for name, part in lossy.items():
            store.remove(part_record_path(address, name))
            for file in part.files:
                store.remove(f"{address.folder}/{file.path}")
    return {name: part for name, part in parts.items() if name not in lossy}


@contextmanager
def _removal(session: Session, address: StageAddress) -> Iterator[Sequence[Holder]]:
    """Hold the lease under which parts of a stage may be removed, and see who else uses the stage."""
    taken = session.leases.acquire(_removal_lease(address))
    if not isinstance(taken, Lease):
        yield [taken]
        return
    try:
        yield session.other_users(address)
    finally:
        session.leases.release(taken)


def _wait_for_removal(session: Session, address: StageAddress) -> None:
    while session.leases.holder(_removal_lease(address)) is not None:
        session.check_stopping()
        time.sleep(_LOOK_SECONDS)


def _removal_lease(address: StageAddress) -> str:
    return f"removal-{address.stage}-{address.key}"
