"""What a run shows in Prefect's UI at its end: what it kept and dropped, how fast, how well, and where all of it is."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flows.part_usage import USAGE
from flows.session import Session
from pipeline_lib.report.funnel import funnel_rows, in_order
from pipeline_lib.report.largest_clusters import largest_clusters
from pipeline_lib.report.learning import loss_chart_png, read_log
from pipeline_lib.report.quantities import duration, size
from pipeline_lib.report.samples import sample_rows
from storage.manifests import Manifest, PublishedStage
from storage.runs import run_path

_NUM_KEPT = 6
_NUM_CLUSTERS = 20
_EXCERPT_CHARS = 300


def show_run(session: Session, stages: Mapping[str, PublishedStage]) -> None:
    """Create the artifacts of a finished run. Keys are the same for every run, so that the UI shows their history."""
    run, showing = session.run, session.showing
    manifests = {name: stage.manifest for name, stage in stages.items()}
    showing.artifact(
        "funnel",
        "table",
        _cells(funnel_table(manifests)),
        f"What went into each stage of {run.run_id}, came out, and was dropped.",
    )
    showing.artifact(
        "throughput",
        "table",
        _cells(throughput_table(manifests, {stage.name for stage in run.stages if stage.reused})),
        "How fast each stage worked. A reused stage shows the work of the run that made it.",
    )
    showing.artifact(
        "samples",
        "table",
        _cells(samples_table(stages)),
        "Documents kept and dropped, with the rule, its value and its threshold.",
    )
    showing.artifact(
        "duplicates",
        "table",
        _cells(largest_clusters(stages, number=_NUM_CLUSTERS)),
        "The clusters of the most duplicates: the page that is kept, and why the others are not.",
    )
    if "train" in stages:
        with stages["train"].local_file("log") as log:
            picture = loss_chart_png(read_log(log))
        showing.artifact(
            "loss-curve",
            "image",
            _picture_url(session, "loss-curve.png", picture),
            f"Training and validation loss of {run.run_id}.",
        )
    if "evaluate" in stages:
        showing.artifact("scores", "markdown", _scores(run.metrics), "Scores of the checkpoint.")
    showing.artifact("report", "markdown", _places(session), f"Where all of {run.run_id} is, and how to ask about it.")


def funnel_table(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """One row a stage, few and narrow columns: what went in, came out, was dropped and why."""
    return [
        {
            "stage": row["stage"],
            "in": f"{row['in']:,} {row['unit_in']}",
            "out": f"{row['out']:,} {row['unit_out']}",
            "dropped": f"{row['dropped']:,}" if row["dropped"] else "",
            "percent": f"{row['dropped_percent']:.2f}" if row["dropped"] else "",
            "reasons": row["reasons"],
        }
        for row in funnel_rows(manifests)
    ]


def samples_table(stages: Mapping[str, PublishedStage]) -> list[dict[str, Any]]:
    """Kept and dropped documents; what decided first, since the pages cut a wide table at the right."""
    rows = sample_rows(stages, num_kept=_NUM_KEPT, num_per_rule=2, seed=0, excerpt_chars=_EXCERPT_CHARS)
    order = ("verdict", "rule", "value", "threshold", "evidence", "title", "text", "url", "language", "doc_id")
    return [{name: row[name] for name in order} for row in rows]


def throughput_table(manifests: Mapping[str, Manifest], reused: set[str]) -> list[dict[str, Any]]:
    """One row a stage: seconds of work over all its parts, CPU seconds where they were measured, and what a second
    made: of documents (or tokens, or what else the stage takes) and of published bytes."""
    rows = []
    for name in in_order(manifests):
        manifest = manifests[name]
        num_bytes = sum(record.bytes for record in manifest.files())
        seconds = manifest.seconds
        cpu = [used for part in manifest.parts if (used := part.metrics.get(USAGE, {}).get("cpu_seconds")) is not None]
        rows.append(
            {
                "stage": name,
                "reused": "reused" if name in reused else "",
                "parts": f"{len(manifest.parts):,}",
                "work": duration(seconds),
                "cpu": duration(sum(cpu)) if len(cpu) == len(manifest.parts) and cpu else "",
                "per second": f"{manifest.account.documents_in / seconds:,.0f} {manifest.account.unit_in}"
                if seconds
                else "",
                "published": size(num_bytes),
                "MB/s": f"{num_bytes / 1e6 / seconds:,.2f}" if seconds else "",
            }
        )
    return rows


def _cells(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table as Prefect's pages take it; what is not there is an empty cell."""
    return json.dumps([{name: _cell(value) for name, value in row.items()} for row in rows], allow_nan=False)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"  # as text: not every float is JSON
    return "" if value is None else value


def _places(session: Session) -> str:
    """Links and commands, as Markdown."""
    run, store = session.run, session.store
    report = store.full_path(run.paths["report"])
    lines = [
        f"Report page: [{run.run_id}]({session.pages_url}/{run.run_id}/report.html) (the same is at `{report}`)"
        if session.pages_url is not None
        else f"Report page: `{report}`",
        "",
        "| what | where |",
        "|---|---|",
        f"| run record | `{store.full_path(run_path(run.run_id))}` |",
        *(f"| {name} | `{store.full_path(path)}` |" for name, path in sorted(run.paths.items()) if name != "report"),
        f"| corpus digest | `{run.corpus_digest}` |",
        f"| recipe digest | `{run.recipe_digest}` |",
        f"| git commit | `{run.environment.get('git_commit')}` |",
        "",
        "```",
        f"export GRISTMILL_STORE={store.url}",
        f"gristmill show {run.run_id}        # its stages and scores",
        f"gristmill browse {run.run_id}      # its documents, kept and dropped",
        f"gristmill why URL --run {run.run_id}",
        f"gristmill verify {run.run_id}      # make it again and compare",
        "```",
    ]
    return "\n".join(lines)


def _picture_url(session: Session, name: str, picture: bytes) -> str:
    """Where Prefect's pages find a picture: beside the report, or in the address itself where nothing serves that."""
    path = f"runs/{session.run.run_id}/{name}"
    session.store.publish_bytes(path, picture)
    if session.pages_url is not None:
        return f"{session.pages_url}/{session.run.run_id}/{name}"
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _scores(metrics: Mapping[str, Any]) -> str:
    rows = [
        ("this model", metrics["val_bits_per_byte"]),
        ("xz -9", metrics["xz_bits_per_byte"]),
        ("gzip -9", metrics["gzip_bits_per_byte"]),
    ]
    lines = ["| held-out text, by | bits per byte |", "|---|---:|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in rows]
    return "\n".join(lines)
