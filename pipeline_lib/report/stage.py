"""The report stage: reads what the other stages published, and writes one HTML page."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline_lib.report.blocks import Block, Cell, Column, Row, Section, Table, Tile
from pipeline_lib.report.clusters import count_duplicates, duplicate_pairs, duplicates_section, removing_stages
from pipeline_lib.report.composition import compose, corpus_section, edits_table
from pipeline_lib.report.contamination import contamination_section, find_contamination
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.funnel import funnel_section
from pipeline_lib.report.learning import read_log, training_section
from pipeline_lib.report.page import Page, render
from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.report.provenance import provenance_section, timings_section
from pipeline_lib.report.quantities import count, share, size
from pipeline_lib.report.readings import reading
from pipeline_lib.report.repeated import count_removed, repeated_section, shown_units
from pipeline_lib.report.rules import distribution_figures, rules_table
from pipeline_lib.report.samples import dropped_rows, dropped_samples, kept_rows, kept_samples, rejected_rows
from pipeline_lib.report.scores import evaluation_section, scores_of
from pipeline_lib.report.tokenizer_fit import count_tokens, tokenizer_section
from pipeline_lib.report.volumes import measure_volumes
from pipeline_lib.report.what_if import what_if_blocks
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage

Stages = Mapping[str, PublishedStage]


def report_part(
    part: Part, inputs: Stages, output: PartWriter, parameters: ReportParameters, *, facts: Mapping[str, Any]
) -> PartResult:
    """Write the file `report`, `report.html`: one page that shows all the stages in `inputs`.

    A section whose stages are not there is left out. The account counts stages.

    Args:
        facts: what only the run knows: run_id, recipe_name, recipe_digest, recipe, corpus_digest, environment,
            created_at, ui_url, earlier (entry and run_id of each run that this one was deduplicated against).
    """
    sections = [section for build in _SECTIONS for section in build(inputs, parameters, facts)]
    html = render(
        Page(
            title=one_line(str(reading(facts, "recipe_name") or "A run"), 80),
            run_id=_run_id(facts),
            corpus_digest=one_line(str(reading(facts, "corpus_digest") or ""), 64)[:12],
            created_at=one_line(str(reading(facts, "created_at") or ""), 40)
            .replace("T", " ")
            .replace("+00:00", " UTC"),
            description=one_line(str(reading(facts, "recipe", "description") or ""), 400),
            link=_link(reading(facts, "ui_url")),
            tiles=_tiles(inputs),
            sections=sections,
        )
    )
    with output.file("report", "report.html", rows=len(sections), varies=True) as path:  # the run's name is on it
        path.write_text(html, encoding="utf-8", newline="\n")
    return PartResult(
        account=Account(documents_in=len(inputs), documents_out=len(inputs), unit_in="stages", unit_out="stages"),
        metrics={"sections": [section.name for section in sections], "bytes": len(html.encode())},
    )


def _funnel(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    return [funnel_section({name: stage.manifest for name, stage in inputs.items()}, measure_volumes(inputs))]


def _corpus(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "corpus" not in inputs:
        return []
    kept = kept_rows(
        inputs, number=parameters.num_samples, seed=parameters.seed, excerpt_chars=parameters.excerpt_chars
    )
    return [
        corpus_section(
            compose(inputs["corpus"].manifest),
            edits_table(inputs),
            [kept_samples(kept, _run_id(facts))] if kept else [],
            top_hosts=parameters.top_hosts,
            top_languages=parameters.top_languages,
        )
    ]


def _rules(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "judge" not in inputs:
        return []
    judge = inputs["judge"].manifest
    blocks: list[Block] = [rules_table(judge)]
    if "signals" in inputs:
        charts = distribution_figures(
            judge,
            inputs["signals"],
            num_documents=parameters.signal_documents,
            max_figures=parameters.num_signals,
            seed=parameters.seed,
        )
        blocks += [charts] if charts is not None else []
    blocks += what_if_blocks(
        inputs, samples=parameters.samples_per_rule, seed=parameters.seed, excerpt_chars=parameters.excerpt_chars
    )
    rows = dropped_rows(
        inputs, per_rule=parameters.samples_per_rule, seed=parameters.seed, excerpt_chars=parameters.excerpt_chars
    )
    blocks += [dropped_samples(rows, judge.account.dropped, _run_id(facts))] if rows else []
    dropped = sum(judge.account.dropped.values())
    return [
        Section(
            name="rules",
            title="Quality rules",
            summary=(
                f"{count(dropped)} of {count(judge.account.documents_in)} documents were dropped "
                f"({share(dropped, judge.account.documents_in)}). Signals were measured on every document, also where "
                "an earlier rule had decided already; dashed lines are thresholds."
            ),
            blocks=blocks,
        )
    ]


def _duplicates(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "dedup" not in inputs or "extract" not in inputs:
        return []
    pairs = duplicate_pairs(inputs, number=parameters.num_clusters, seed=parameters.seed)
    runs = {str(each["entry"]): str(each["run_id"]) for each in facts.get("earlier", [])}
    figures = count_duplicates(removing_stages(inputs))
    return [duplicates_section(figures, pairs, parameters.excerpt_chars, runs, _run_id(facts))]


def _repeated(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "lines" not in inputs or "repeated-lines" not in inputs:
        return []
    return [repeated_section(count_removed(inputs["lines"]), shown_units(inputs))]


def _contamination(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "decontaminate" not in inputs or "extract" not in inputs:
        return []
    return [contamination_section(find_contamination(inputs))]


def _extraction(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    rows = rejected_rows(inputs, per_reason=parameters.samples_per_rule, seed=parameters.seed)
    if not rows:
        return []
    table = Table(
        title="Records that became no document",
        columns=[
            Column(title="Reason"),
            Column(title="Record"),
            Column(title="URL"),
            Column(title="Offset", numeric=True),
        ],
        rows=[
            Row(
                cells=[
                    Cell(text=row["reason"], code=True),
                    Cell(text=one_line(row["record_type"], 20)),
                    Cell(text=row["url"] or "none", crawled=True),
                    Cell(text=count(row["warc_offset"])),
                ]
            )
            for row in rows
        ],
        note="Drawn by a seeded hash, the commonest reason first; the funnel has the counts.",
    )
    account = inputs["extract"].manifest.account
    return [
        Section(
            name="extraction",
            title="Extraction",
            summary=(
                f"{count(account.documents_out)} documents came from {count(account.documents_in)} {account.unit_in}. "
                "What could not be read is a reason, never an error."
            ),
            blocks=[table],
        )
    ]


def _tokenizer(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "tokenizer" not in inputs:
        return []
    encode = inputs["encode"].manifest if "encode" in inputs else None
    return [tokenizer_section(inputs["tokenizer"].manifest, encode, top_hosts=parameters.top_hosts)]


def _training(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "train" not in inputs or not inputs["train"].manifest.files("log"):
        return []
    with inputs["train"].local_file("log") as path:
        return [training_section(inputs["train"].manifest, read_log(path))]


def _evaluation(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    if "evaluate" not in inputs:
        return []
    return [evaluation_section(inputs["evaluate"].manifest, parameters.excerpt_chars)]


def _origin(inputs: Stages, parameters: ReportParameters, facts: Mapping[str, Any]) -> list[Section]:
    manifests = {name: stage.manifest for name, stage in inputs.items()}
    return [timings_section(manifests), provenance_section(manifests, facts)]


_SECTIONS: tuple[Callable[[Stages, ReportParameters, Mapping[str, Any]], list[Section]], ...] = (
    _funnel,
    _extraction,
    _rules,
    _duplicates,
    _repeated,
    _contamination,
    _corpus,
    _tokenizer,
    _training,
    _evaluation,
    _origin,
)


def _tiles(inputs: Stages) -> list[Tile]:
    """The run at a glance."""
    tiles = []
    if "extract" in inputs:
        tiles.append(Tile(label="Pages read", value=count(inputs["extract"].manifest.account.documents_out)))
    if "corpus" in inputs:
        corpus = compose(inputs["corpus"].manifest).total
        kept = inputs["corpus"].manifest.account.documents_out
        read = inputs["extract"].manifest.account.documents_out if "extract" in inputs else 0
        tiles.append(
            Tile(label="Documents kept", value=count(kept), note=f"{share(kept, read)} of pages" if read else "")
        )
        if corpus.bytes:
            tiles.append(Tile(label="Text", value=size(corpus.bytes)))
    if "encode" in inputs:
        tokens = count_tokens(inputs["encode"].manifest)
        if tokens:
            tiles.append(Tile(label="Tokens", value=count(sum(tokens.values()))))
    if "evaluate" in inputs:
        scores = {score.name: score.bits_per_byte for score in scores_of(inputs["evaluate"].manifest)}
        if "this model" in scores:
            note = f"xz -9: {scores['xz -9']:.3f}" if "xz -9" in scores else ""
            tiles.append(Tile(label="Bits per byte", value=f"{scores['this model']:.3f}", note=note))
    return tiles


def _run_id(facts: Mapping[str, Any]) -> str:
    return one_line(str(reading(facts, "run_id") or ""), 120)


def _link(url: Any) -> str | None:
    """Only what a browser fetches: the address comes from the run's settings, and may be anything."""
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None
