"""What of the store's list of withdrawn pages, domains and files concerns a run that is being made."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from flows.code_digest import code_digest
from flows.session import Session
from pipeline_lib.text_files.in_threads import in_order
from pipeline_lib.withdrawn.rule import Matcher, Withdrawn
from pipeline_lib.withdrawn.stage import count_withdrawn, judged_documents
from storage.answers import answer
from storage.exclusions import Exclusion, Exclusions, read_exclusions
from storage.manifests import PublishedStage


def check_exclusions(session: Session) -> None:
    """Whether the list can be read, before hours are spent on what it is asked for.

    Raises:
        DamagedExclusion: an entry cannot be read.
    """
    read_exclusions(session.store)


def what_is_withdrawn(session: Session, stages: Mapping[str, PublishedStage]) -> Withdrawn:
    """What withdraws one of the documents that `judge` left; the run's record names the entries that were asked.

    The list is read now, not when the run began: what is withdrawn while a run works is left out if it can be.

    Raises:
        DamagedExclusion: an entry cannot be read.
    """
    exclusions = read_exclusions(session.store)
    if session.checker is not None:  # what a recorded run has left out follows from the entries that it read
        exclusions = exclusions.of(session.run.exclusions)
    session.run.exclusions = list(exclusions.names)
    if not exclusions.in_force:
        return Withdrawn()
    question = {
        "asks": "what withdraws a judged document",
        "documents": {name: stages[name].manifest.key for name in ("extract", "judge")},
        "exclusions": list(exclusions.names),
        "code": code_digest([judged_documents.__module__]),
    }
    found = answer(session.store, question, lambda: _ask(session, stages, exclusions))
    counts = {Exclusion(*each["withdrawn"]): each["documents"] for each in found}
    if counts:
        session.progress.say(
            f"withdrawn: {sum(counts.values()):,} documents, by {len(counts):,} of {len(exclusions.in_force):,} on the "
            "store's list"
        )
    return Withdrawn.of(counts)


def _ask(session: Session, stages: Mapping[str, PublishedStage], exclusions: Exclusions) -> list[dict[str, object]]:
    matcher = Matcher(Withdrawn.of(exclusions.in_force))
    workers = session.run.settings["workers"]
    counts: Counter[Exclusion] = Counter()
    with ThreadPoolExecutor(workers, thread_name_prefix="withdrawn") as pool:
        for counted in in_order(
            lambda part: count_withdrawn(judged_documents(stages, part), matcher),
            stages["extract"].part_names,
            pool,
            ahead=workers,
            stop=session.stopping,
        ):
            counts.update(counted)
    return [{"withdrawn": [each.kind, each.value], "documents": counts[each]} for each in sorted(counts)]
