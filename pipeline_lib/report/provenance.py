"""Where the results come from: time by stage, environment, recipe, digests."""

from collections.abc import Mapping
from typing import Any

import yaml

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Cell, Column, Figure, Figures, Listing, Row, Section, Table
from pipeline_lib.report.excerpts import visible
from pipeline_lib.report.funnel import stage_flows
from pipeline_lib.report.quantities import count, duration, share, size
from pipeline_lib.report.readings import group
from storage.manifests import Manifest

_FACTS = (
    ("run_id", "Run"),
    ("recipe_name", "Recipe"),
    ("created_at", "Begun"),
    ("recipe_digest", "Recipe digest"),
    ("corpus_digest", "Corpus digest"),
)


def timings_section(manifests: Mapping[str, Manifest]) -> Section:
    flows = stage_flows(manifests)
    total = sum(flow.seconds for flow in flows)
    rows = [{"stage": flow.stage, "seconds": round(flow.seconds, 1)} for flow in flows]
    figure = Figure(
        name="timings",
        title="Work by stage",
        specification=charts.bars(rows, x=("seconds", "Seconds of work", ",.1f"), y="stage", tone="plain"),
        note="Added up over the parts of a stage. A stage that was reused shows the work of the run that made it.",
        table=Table(
            columns=[
                Column(title="Stage"),
                *(Column(title=title, numeric=True) for title in ("Parts", "Work", "Share", "Published")),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=flow.stage),
                        Cell(text=count(len(manifests[flow.stage].parts))),
                        Cell(text=duration(flow.seconds)),
                        Cell(text=share(flow.seconds, total)),
                        Cell(text=size(flow.published_bytes)),
                    ]
                )
                for flow in flows
            ],
        ),
        wide=True,
    )
    return Section(
        name="timings",
        title="Timings",
        summary=f"{duration(total)} of work in all.",
        blocks=[Figures(figures=[figure])],
    )


def provenance_section(manifests: Mapping[str, Manifest], facts: Mapping[str, Any]) -> Section:
    """The run's facts, what it ran on, the resolved recipe, and the key of every stage."""
    environment = group(facts, "environment")
    recipe = yaml.safe_dump(dict(group(facts, "recipe")), sort_keys=False, allow_unicode=True, width=100)
    return Section(
        name="provenance",
        title="Provenance",
        summary="What the run was made from and with: enough to make it again, and to see what differs if it does.",
        blocks=[
            _named("Run", {title: facts.get(key) for key, title in _FACTS}),
            _named("Environment", {_title(name): each for name, each in environment.items() if name != "libraries"}),
            _keys_table(manifests),
            _named("Libraries", group(environment, "libraries"), folded=True),
            Listing(title="Recipe, with all its defaults", text=visible(recipe)),
        ],
    )


def _keys_table(manifests: Mapping[str, Manifest]) -> Table:
    return Table(
        title="Stage keys",
        columns=[Column(title="Stage", narrow=True), Column(title="Key"), Column(title="Code"), Column(title="Inputs")],
        rows=[
            Row(
                cells=[
                    Cell(text=flow.stage),
                    Cell(text=manifests[flow.stage].key, code=True),
                    Cell(text=manifests[flow.stage].code_digest[:12], code=True),
                    Cell(text=", ".join(manifests[flow.stage].inputs) or "none"),
                ]
            )
            for flow in stage_flows(manifests)
        ],
        note="A key is a digest of parameters, code, libraries and inputs: equal keys mean equal output.",
    )


def _named(title: str, values: Mapping[str, Any], *, folded: bool = False) -> Table:
    return Table(
        title=title,
        columns=[Column(title="What", narrow=True), Column(title="Value")],
        rows=[Row(cells=[Cell(text=name), Cell(text=_shown(name, each), code=True)]) for name, each in values.items()],
        folded=folded,
    )


def _shown(name: str, each: Any) -> str:
    if each is None:
        return "unknown"
    if isinstance(each, bool):
        return "yes" if each else "no"
    if isinstance(each, int) and name.lower().endswith("memory"):
        return size(each)
    return visible(str(each))


def _title(name: str) -> str:
    return {"memory_bytes": "Memory", "git_commit": "Git commit", "git_dirty": "Uncommitted changes"}.get(
        name, name.replace("_", " ").capitalize()
    )
