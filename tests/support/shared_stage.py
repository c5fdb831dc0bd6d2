"""A stage of small parts that several processes make on one store, without a flow:

    python tests/support/shared_stage.py STORE RUN MARKS PARTS [SLOW]

Each part that is begun adds a line `RUN PART` to the file MARKS; SLOW is a part that RUN never ends. The content of
each part is printed when the process has it.
"""

import sys
import time
from pathlib import Path

import pyarrow as pa

from flows.part_job import PartJob
from flows.part_tasks import PartWork
from flows.progress import RunProgress
from flows.reuse import standing_of
from flows.runners import Runner
from flows.session import Session
from flows.showing import Showing
from flows.tracking.tracking import Tracking
from storage.accounts import Account
from storage.manifests import Part, PartRecord, PartResult, PartWriter, StageAddress
from storage.runs import Run
from storage.schemas import DECISIONS
from storage.store import Store

ADDRESS = StageAddress(stage="shared", key="abc123")


def part_of(part: Part, inputs: object, output: PartWriter, parameters: dict[str, str]) -> PartResult:
    with Path(parameters["marks"]).open("a") as marks:
        marks.write(f"{parameters['run']} {part.name}\n")
    if part.name == parameters["slow"]:
        time.sleep(600)
    time.sleep(0.05)
    rows = [{"doc_id": f"{number:032x}", "rule": part.name, "value": 1.0} for number in range(3)]
    output.table("decisions", pa.Table.from_pylist(rows, schema=DECISIONS), DECISIONS)
    return PartResult(account=Account(documents_in=3, documents_out=0, dropped={part.name: 3}))


def session_of(url: str, run: str) -> Session:
    """A run's session on a store, with one thread and no flow."""
    record = Run(run_id=run, recipe_name=run, recipe={}, recipe_digest="", created_at="")
    store = Store(url)
    progress = RunProgress()
    return Session(
        store=store,
        run=record,
        runner=Runner(name="threads", workers=1),
        progress=progress,
        showing=Showing(None, progress.say),
        tracking=Tracking((), store, record, rates={}, warn=progress.say),
    )


def main(url: str, run: str, marks: str, num_parts: str, slow: str = "") -> None:
    def job_of(part: Part) -> PartJob:
        parameters = {"marks": marks, "run": run, "slow": slow}
        return PartJob(store_url=url, address=ADDRESS, part=part, inputs={}, parameters=parameters, work=part_of)

    def advance(record: PartRecord) -> None:
        sys.stdout.write(f"{record.name} {record.files[0].content}\n")
        sys.stdout.flush()

    session = session_of(url, run)
    with session.leases:
        work = PartWork(
            session=session,
            stage="shared",
            address=ADDRESS,
            standing=standing_of(session, ADDRESS),
            job_of=job_of,
            in_process=False,
            advance=advance,
        )
        work.finish([Part(name=f"part-{number:05d}") for number in range(int(num_parts))])


if __name__ == "__main__":
    main(*sys.argv[1:])
