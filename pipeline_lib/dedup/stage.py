"""The stage `dedup`: the duplicates of a whole run, found and explained (see `engine`)."""

from collections.abc import Mapping

from pipeline_lib.dedup.earlier_runs import earlier_documents
from pipeline_lib.dedup.engine import find_duplicates
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.run_collection import RunCollection
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES


def dedup_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: DedupParameters
) -> PartResult:
    """Decide over all parts at once: reads extract, signals, judge, signatures, withdrawn where something was, and what
    earlier runs kept (see `earlier_runs`); writes `duplicates` and `clusters`, one file of each for every part of
    `signatures`."""
    documents = RunCollection(inputs, parameters)
    scratch = output.store.scratch_folder
    earlier = earlier_documents(inputs, parameters.banding())
    decisions = find_duplicates(documents, parameters, scratch=scratch, earlier=earlier)
    for name in documents.parts:
        output.table("duplicates", decisions.duplicates(name), DUPLICATES, part=name)
        output.table("clusters", decisions.clusters(name), CLUSTERS, part=name)
    return PartResult(account=decisions.account, metrics=decisions.metrics)
