"""What a run shows in the Prefect UI: the funnel, samples, the loss curve, the scores, the way to the report."""

import base64
from collections.abc import Mapping
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.session import Session
from pipeline_lib.report.funnel import funnel_rows
from pipeline_lib.report.learning import loss_chart_png, read_log
from pipeline_lib.report.samples import sample_rows
from storage.manifests import PublishedStage

_NUM_KEPT = 6
_EXCERPT_CHARS = 300


def show_run(session: Session, stages: Mapping[str, PublishedStage]) -> None:
    """Create the artifacts of a finished run. Keys are the same for every run, so that the UI shows their history."""
    run = session.run
    create_table_artifact(
        key="funnel",
        table=funnel_rows({name: stage.manifest for name, stage in stages.items()}),
        description=f"What went into each stage of {run.run_id}, came out, and was dropped.",
    )
    create_table_artifact(
        key="samples",
        table=sample_rows(stages, num_kept=_NUM_KEPT, num_per_rule=2, seed=0, excerpt_chars=_EXCERPT_CHARS),
        description="Documents kept and dropped, with the rule, its value and its threshold.",
    )
    if "train" in stages:
        with stages["train"].local_file("log") as log:
            picture = loss_chart_png(read_log(log))
        create_image_artifact(
            key="loss-curve",
            image_url=_picture_url(session, "loss-curve.png", picture),
            description=f"Training and validation loss of {run.run_id}.",
        )
    if "evaluate" in stages:
        create_markdown_artifact(key="scores", markdown=_scores(run.metrics), description="Scores of the checkpoint.")
    report = session.store.full_path(run.paths["report"])
    if session.pages_url is not None:
        create_link_artifact(
            key="report",
            link=f"{session.pages_url}/{run.run_id}/report.html",
            link_text=f"Report of {run.run_id}",
            description=f"The same page is at {report}.",
        )
    else:
        create_markdown_artifact(key="report", markdown=f"The report of {run.run_id} is at `{report}`.")


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
