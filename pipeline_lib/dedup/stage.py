"""The stage `dedup`: the duplicates of a whole run, found and explained (see `engine`)."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline_lib.dedup.engine import find_duplicates
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.run_collection import RunCollection
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES


def dedup_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: DedupParameters
) -> PartResult:
    """Decide over all parts at once: reads extract, signals, judge, signatures; writes `duplicates` and `clusters`,
    one file of each for every part of `signatures`."""
    documents = RunCollection(inputs, parameters)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as scratch:
        decisions = find_duplicates(documents, parameters, scratch=Path(scratch))
        for name in documents.parts:
            output.table("duplicates", decisions.duplicates(name), DUPLICATES, part=name)
            output.table("clusters", decisions.clusters(name), CLUSTERS, part=name)
    return PartResult(account=decisions.account, metrics=decisions.metrics)
