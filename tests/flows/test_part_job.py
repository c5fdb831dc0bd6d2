"""What a part's record says it took, beside what it made."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from flows.part_job import PartJob, make_part
from flows.part_usage import USAGE
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage, StageAddress

ACCOUNT = Account(documents_in=1, documents_out=1)


def multiply(part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: Any) -> PartResult:
    matrix = np.ones((300, 300))
    for _ in range(50):
        matrix = matrix @ matrix / 300
    return PartResult(account=ACCOUNT)


def wait_for_the_other(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: threading.Barrier
) -> PartResult:
    parameters.wait(60)
    return PartResult(account=ACCOUNT)


def job(store: str, stage: str, name: str, work: Any, parameters: Any = None) -> PartJob:
    return PartJob(
        store_url=store,
        address=StageAddress(stage=stage, key="k"),
        part=Part(name=name),
        inputs={},
        parameters=parameters,
        work=work,
    )


def test_a_part_says_what_it_took(tmp_path) -> None:
    first, second = (
        make_part(job(str(tmp_path), "multiplied", f"part-{number}", multiply)).metrics for number in range(2)
    )
    for metrics in (first, second):
        assert metrics[USAGE]["cpu_seconds"] > 0
        assert 10_000_000 < metrics[USAGE]["peak_memory_bytes"] < 1 << 40
    assert [metrics[USAGE]["is_first"] for metrics in (first, second)] == [True, False]


def test_of_parts_that_share_a_process_nobody_knows_whose_time_it_was(tmp_path) -> None:
    met = threading.Barrier(2)
    records = []
    threads = [
        threading.Thread(
            target=lambda name: records.append(
                make_part(job(str(tmp_path), "waited", name, wait_for_the_other, parameters=met))
            ),
            args=(f"part-{number}",),
        )
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert [record.metrics[USAGE]["cpu_seconds"] for record in records] == [None, None]
