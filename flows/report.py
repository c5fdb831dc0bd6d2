"""The report page of a run, published as a stage and copied beside the run's record."""

from functools import partial

from flows.artifacts import show_run
from flows.corpus import Stages
from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage
from pipeline_lib.report.stage import report_part
from storage.manifests import Part


def write_report(session: Session, recipe: Recipe, stages: Stages) -> None:
    run = session.run
    facts = {
        "run_id": run.run_id,
        "recipe_name": run.recipe_name,
        "recipe_digest": run.recipe_digest,
        "recipe": run.recipe,
        "corpus_digest": run.corpus_digest,
        "environment": run.environment,
        "created_at": run.created_at,
        "earlier": [{"entry": each.entry, "run_id": each.run_id} for each in run.earlier],
    }
    published = run_stage(
        session,
        Stage(
            name="report",
            work=partial(report_part, facts=facts),
            parts=[Part(name="all")],
            parameters=recipe.report,
            # an equal run of the same recipe shows the page of the first: all that is on it is the same, but its name
            identity={"recipe": run.recipe_name, "digest": run.recipe_digest},
            inputs=dict(stages),
            libraries=("altair", "jinja2", "vl-convert-python"),
            in_process=True,
        ),
    )
    copy = f"runs/{run.run_id}/report.html"
    with published.local_file("report") as page:
        session.store.publish_bytes(copy, page.read_bytes())
    run.paths["report"] = copy
    show_run(session, stages)
