"""From crawl to corpus: fetch, extract, judge, withdraw, deduplicate, take out repeated lines, mask, materialise.

Each step takes the stages before it by name, and gives them on with its own.
"""

from collections.abc import Callable, Mapping
from functools import partial

from flows.dedup_index import earlier_inputs
from flows.recipe import Recipe, SourceParameters
from flows.session import Session
from flows.stage import Stage, run_stage, same_parts
from flows.withdrawal import what_is_withdrawn
from pipeline_lib.corpus.stage import corpus_digest, corpus_part
from pipeline_lib.crawl.documentation import documentation_identity, documentation_parts
from pipeline_lib.crawl.documentation_stage import crawl_part
from pipeline_lib.crawl.fetch_stage import fetch_part, fetch_parts
from pipeline_lib.crawl.index_query import IndexQuery
from pipeline_lib.crawl.listing import SourceFile, list_crawl_files, list_sources, list_texts, sources_from_crawl
from pipeline_lib.crawl.remote import Remote
from pipeline_lib.crawl.select_stage import SelectParameters, select_part, select_parts, work_list_parts
from pipeline_lib.decontaminate.evaluation_files import find_sets
from pipeline_lib.decontaminate.figures import contamination_metrics
from pipeline_lib.decontaminate.parameters import CommonParameters
from pipeline_lib.decontaminate.stage import (
    common_part,
    decontaminate_part,
    evaluation_items_identity,
    evaluation_items_part,
    items_part,
    overlaps_part,
)
from pipeline_lib.dedup.signatures import signatures_part
from pipeline_lib.dedup.stage import dedup_part
from pipeline_lib.extract.opt_outs import check_opt_out_lists
from pipeline_lib.extract.stage import extract_part
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.rule_files import rule_files_digests
from pipeline_lib.filters.rules import perplexity
from pipeline_lib.filters.rules.perplexity import kind_of, model_digest
from pipeline_lib.filters.stage import judge_part, signals_part
from pipeline_lib.privacy.stage import privacy_part
from pipeline_lib.repeated_lines.stage import COUNTS, REPEATED, count_part, lines_part, repeated_part
from pipeline_lib.semantic.embedders import function_digest
from pipeline_lib.semantic.embeddings_stage import embeddings_part
from pipeline_lib.semantic.parameters import SemanticStageParameters
from pipeline_lib.survivors import TRAIL
from pipeline_lib.withdrawn.stage import withdrawn_part
from storage.manifests import Part, PartResult, PublishedStage

Stages = Mapping[str, PublishedStage]

_READING = ("fastwarc", "resiliparse", "trafilatura", "lxml", "py3langid", "chardet", "pyarrow")
_COUNTING = ("numba", "numpy", "pyarrow")
_MEASURING = (*_COUNTING, "polars", "tldextract")
_RENDERING = ("warcio", "docutils", "markdown-it-py", "jinja2")


def fetch(session: Session, recipe: Recipe) -> Stages:
    """List what is to be read: render documentation first, or ask a crawl's index which records."""
    if session.checker is not None:
        return session.checker.sources(partial(_find_sources, session, recipe))
    return _find_sources(session, recipe)


def _find_sources(session: Session, recipe: Recipe) -> Stages:
    source = recipe.source
    remote = Remote(recipe.fetch, session.store)
    stages: dict[str, PublishedStage] = {}
    files: list[SourceFile] = []
    parts: list[Part] = []
    if source.kind == "documentation":
        stages["crawl"] = render_documentation(session, source)
        files = sources_from_crawl(stages["crawl"])
    elif source.kind == "commoncrawl" and source.index is not None:
        stages["select"] = select_records(session, recipe)
        parts = work_list_parts(stages["select"], source.selection().base_url)
    elif source.kind == "commoncrawl":
        files = list_crawl_files(remote, source.selection())
    elif source.kind == "warc":
        files = list_sources(
            remote,
            source.paths,
            base_url=source.base_url,
            files=source.files,
            every=source.every,
            sample=source.sample,
            seed=source.seed,
        )
    if source.texts:
        files += list_texts(remote, source.texts)
    stages["fetch"] = run_stage(
        session,
        Stage(
            name="fetch",
            work=fetch_part,
            parts=[*parts, *fetch_parts(files)],
            parameters=recipe.fetch,
            # what the files are, not where: a copy elsewhere gives the same corpus
            identity={each.warc_path: [each.num_bytes, each.fingerprint] for each in files},
            inputs=dict(stages),
            libraries=("fastwarc",),
        ),
    )
    return stages


def render_documentation(session: Session, source: SourceParameters) -> PublishedStage:
    return run_stage(
        session,
        Stage(
            name="crawl",
            work=crawl_part,
            parts=documentation_parts(source.documentation),
            parameters=source.documentation,
            identity=documentation_identity(source.documentation),
            libraries=_RENDERING,
        ),
    )


def select_records(session: Session, recipe: Recipe) -> PublishedStage:
    """Ask the index of a crawl which records are wanted; a mirror's index is the crawl's."""
    selection = recipe.source.selection()
    return run_stage(
        session,
        Stage(
            name="select",
            work=partial(select_part, connect=partial(Remote, recipe.fetch)),
            parts=select_parts(selection),
            parameters=SelectParameters(
                crawl=selection.crawl, index=recipe.source.index or IndexQuery(), work_list=recipe.source.work_list
            ),
            libraries=("polars", "pyarrow", "numba"),
        ),
    )


def extract(session: Session, recipe: Recipe, sources: Stages) -> Stages:
    published = run_stage(
        session,
        Stage(
            name="extract",
            work=partial(extract_part, fetching=recipe.fetch),
            parts=same_parts(sources["fetch"]),
            parameters=recipe.extract,
            identity=check_opt_out_lists(recipe.extract.opt_outs),
            inputs={"fetch": sources["fetch"]},
            libraries=_READING,
        ),
    )
    return {**sources, "extract": published}


def judge(session: Session, recipe: Recipe, documents: Stages) -> Stages:
    """Signals once for every document; then decisions over them, which cost seconds when a threshold changes."""
    extracted = documents["extract"]
    filters = recipe.filters
    likelihood = score_with_model(session, filters, extracted)
    signals = run_stage(
        session,
        Stage(
            name="signals",
            work=signals_part,
            parts=same_parts(extracted),
            parameters=signal_parameters(filters),
            identity=rule_files_digests(filters),
            inputs={"extract": extracted, **likelihood},
            libraries=_MEASURING,
            continues="extract",
        ),
    )
    judged = run_stage(
        session,
        Stage(
            name="judge",
            work=judge_part,
            parts=same_parts(extracted),
            parameters=filters,
            inputs={"extract": extracted, "signals": signals},
            libraries=("polars", "pyarrow"),
            continues="signals",
        ),
    )
    return {**documents, **likelihood, "signals": signals, "judge": judged}


def score_with_model(session: Session, filters: FilterParameters, extracted: PublishedStage) -> Stages:
    """What a model that an earlier run exported says of the documents, where the rules ask for it."""
    model = filters.perplexity.model
    if model is None or "perplexity" not in filters.measured() or kind_of(model) != "export":
        return {}
    # here, not above: it imports PyTorch, which most corpora do without
    from model.scoring_stage import LikelihoodParameters, likelihood_part

    published = run_stage(
        session,
        Stage(
            name="likelihood",
            work=likelihood_part,
            parts=same_parts(extracted),
            parameters=LikelihoodParameters(model=model, signal=perplexity.SIGNALS[0]),
            identity={"model": model_digest(filters.perplexity)},
            inputs={"extract": extracted},
            libraries=("torch", "tokenizers", "pyarrow"),
            continues="extract",
        ),
    )
    return {"likelihood": published}


def sign(session: Session, recipe: Recipe, judged: Stages) -> Stages:
    """Signatures part by part: all that dedup has to know of each document."""
    signatures = run_stage(
        session,
        Stage(
            name="signatures",
            work=signatures_part,
            parts=same_parts(judged["extract"]),
            parameters=recipe.dedup.signatures(),
            inputs=_trail(judged),
            libraries=_COUNTING,
            continues="judge",
        ),
    )
    return {**judged, "signatures": signatures}


def leave_out_withdrawn(session: Session, signed: Stages) -> Stages:
    """Without what the store's list withdraws; nothing where that is none of these documents.

    What the documents are measured at does not depend on the list, and is used again when it grows. What of the list
    concerns other runs alone is no part of the stage's key.
    """
    withdrawn = what_is_withdrawn(session, signed)
    if not withdrawn.listed:
        return signed
    published = run_stage(
        session,
        Stage(
            name="withdrawn",
            work=withdrawn_part,
            parts=same_parts(signed["extract"]),
            parameters=withdrawn,
            inputs=_trail(signed),
            libraries=("numba", "numpy", "pyarrow", "polars"),
            continues=_last_of_trail(signed),
        ),
    )
    return {**signed, "withdrawn": published}


def deduplicate(session: Session, recipe: Recipe, signed: Stages) -> Stages:
    """Duplicates over the whole corpus, and of what earlier runs kept."""
    deduplicated = run_stage(
        session,
        Stage(
            name="dedup",
            work=dedup_part,
            parts=[Part(name="all")],
            parameters=recipe.dedup,
            inputs={
                **_trail(signed),
                "signatures": signed["signatures"],
                **earlier_inputs(session, recipe, signed),
            },
            libraries=_COUNTING,
            continues=_last_of_trail(signed),
        ),
    )
    return {**signed, "dedup": deduplicated}


def check_embedding(recipe: Recipe) -> dict[str, str]:
    """What identifies a model or function that embeds, beyond its name: asked before any work, too.

    Raises:
        WrongRequest: it is not there.
    """
    parameters = recipe.semantic.embeddings()
    if not recipe.semantic.enabled:
        return {}
    if parameters.is_model:
        from model.embedding import export_digest  # torch takes seconds to import

        return {"model": export_digest(parameters.embedding)}
    return {"module": function_digest(parameters.embedding)} if parameters.is_function else {}


def remove_semantic_duplicates(session: Session, recipe: Recipe, unique: Stages) -> Stages:
    """What says the same in other words, by embeddings; only where the recipe asks for it."""
    if not recipe.semantic.enabled:
        return unique
    # here, not above: these import PyTorch, which most corpora do without
    from model.embedding import embed_texts
    from pipeline_lib.semantic.stage import semantic_part

    parameters = recipe.semantic.embeddings()
    work: Callable[..., PartResult] = embeddings_part
    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = _COUNTING
    if parameters.is_model:
        work = partial(embeddings_part, embed=partial(embed_texts, folder=parameters.embedding))
        code, libraries = (embed_texts.__module__,), ("torch", "tokenizers", "pyarrow")
    embeddings = run_stage(
        session,
        Stage(
            name="embeddings",
            work=work,
            parts=same_parts(unique["extract"]),
            parameters=parameters,
            identity=check_embedding(recipe),
            inputs=_trail(unique),
            libraries=libraries,
            code=code,
            continues=_last_of_trail(unique),
        ),
    )
    semantic = run_stage(
        session,
        Stage(
            name="semantic",
            work=semantic_part,
            parts=[Part(name="all")],
            parameters=SemanticStageParameters(semantic=recipe.semantic, dedup=recipe.dedup),
            inputs={**_trail(unique), "signatures": unique["signatures"], "embeddings": embeddings},
            libraries=_COUNTING,  # not torch: its products of small whole numbers are exact
            continues="embeddings",
        ),
    )
    return {**unique, "embeddings": embeddings, "semantic": semantic}


def remove_repeated_lines(session: Session, recipe: Recipe, unique: Stages) -> Stages:
    """Count lines or paragraphs part by part, add up over the whole corpus, take out part by part; if asked for."""
    if not recipe.lines.enabled:
        return unique
    inputs, continues = _trail(unique), _last_of_trail(unique)
    counts = run_stage(
        session,
        Stage(
            name=COUNTS,
            work=count_part,
            parts=same_parts(unique["extract"]),
            parameters=recipe.lines.units(),
            inputs=inputs,
            libraries=_COUNTING,
            continues=continues,
        ),
    )
    repeated = run_stage(
        session,
        Stage(
            name=REPEATED,
            work=repeated_part,
            parts=[Part(name="all")],
            parameters=recipe.lines,
            inputs={**inputs, COUNTS: counts},
            libraries=_COUNTING,
            continues=COUNTS,
        ),
    )
    removed = run_stage(
        session,
        Stage(
            name="lines",
            work=lines_part,
            parts=same_parts(unique["extract"]),
            parameters=recipe.lines,
            inputs={**inputs, REPEATED: repeated},
            libraries=_COUNTING,
            continues=continues,
        ),
    )
    return {**unique, COUNTS: counts, REPEATED: repeated, "lines": removed}


def decontaminate(session: Session, recipe: Recipe, unique: Stages) -> Stages:
    """Look for the items of evaluation sets in all documents; then decide, which costs seconds when a line moves.

    Nothing where the recipe names no sets.
    """
    parameters = recipe.decontamination
    if not parameters.is_on:
        return unique
    found = find_sets(parameters.evaluation_sets)
    items = run_stage(
        session,
        Stage(
            name="evaluation-items",
            work=items_part,
            parts=[evaluation_items_part(found)],
            parameters=parameters.ngrams(),
            identity=evaluation_items_identity(found),
            libraries=_COUNTING,
        ),
    )
    inputs = {**_trail(unique), "evaluation-items": items}
    overlaps = run_stage(
        session,
        Stage(
            name="overlaps",
            work=overlaps_part,
            parts=same_parts(unique["extract"]),
            parameters=None,
            inputs=inputs,
            libraries=_COUNTING,
            continues=_last_of_trail(unique),
        ),
    )
    made: dict[str, PublishedStage] = {"evaluation-items": items, "overlaps": overlaps}
    if parameters.ignore_common is not None:
        made["common-ngrams"] = run_stage(
            session,
            Stage(
                name="common-ngrams",
                work=common_part,
                parts=[Part(name="all")],
                parameters=CommonParameters(ignore_common=parameters.ignore_common),
                inputs=dict(made),
                libraries=_COUNTING,
            ),
        )
    made["decontaminate"] = run_stage(
        session,
        Stage(
            name="decontaminate",
            work=decontaminate_part,
            parts=same_parts(unique["extract"]),
            parameters=parameters.verdict(),
            inputs={**inputs, **made},
            libraries=_COUNTING,
            continues="overlaps",
        ),
    )
    session.run.metrics.update(contamination_metrics(items, made["decontaminate"]))
    return {**unique, **made}


def mask_private_data(session: Session, recipe: Recipe, unique: Stages) -> Stages:
    published = run_stage(
        session,
        Stage(
            name="privacy",
            work=privacy_part,
            parts=same_parts(unique["extract"]),
            parameters=recipe.privacy,
            inputs=_trail(unique),
            libraries=_COUNTING,
            continues=_last_of_trail(unique),
        ),
    )
    return {**unique, "privacy": published}


def materialise(session: Session, recipe: Recipe, masked: Stages) -> Stages:
    """Apply all decisions and edits, once, and name the result by its digest."""
    published = run_stage(
        session,
        Stage(
            name="corpus",
            work=corpus_part,
            parts=same_parts(masked["extract"]),
            parameters=recipe.corpus,
            inputs=_trail(masked),
            libraries=_COUNTING,
            continues=_last_of_trail(masked),
        ),
    )
    session.corpus_is(corpus_digest(published.manifest))
    session.note("corpus", published)
    return {**masked, "corpus": published}


def _trail(stages: Stages) -> Stages:
    """The stages that have decided about documents or edited them so far, in order."""
    return {name: stages[name] for name in TRAIL if name in stages}


def _last_of_trail(stages: Stages) -> str:
    *_, last = _trail(stages)
    return last
