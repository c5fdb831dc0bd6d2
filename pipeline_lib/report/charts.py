"""Charts as Vega-Lite specifications. They name roles instead of colours: a theme gives those, light or dark.

Specifications hold all their data, so what is drawn is aggregated before it comes here.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import vl_convert

Rows = Sequence[Mapping[str, Any]]
Channel = tuple[str, str]  # field, title
Measure = tuple[str, str, str | None]  # field, title, d3 format of its values

# what the page calls; the bundle keeps all else to itself
_EXPORTED = "window.vegaEmbed = vegaEmbed;"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_BAR_STEP = 24
_BAR_PADDING = 0.28
_HEIGHT = 240
_BEHIND_THE_DOT = (
    "width < 320 && indexof(datum.label, '.') > 0 ? slice(datum.label, indexof(datum.label, '.') + 1) : datum.label"
)
_AFTER_THE_DOT = "indexof(datum.label, '.') > 0 ? slice(datum.label, indexof(datum.label, '.') + 1) : datum.label"
_LABEL_PIXELS = 64  # behind the longest bar, for its value


def themes() -> dict[str, dict[str, Any]]:
    """Vega configurations by name. The palettes keep apart under the common kinds of colour blindness."""
    return {
        "light": _theme(
            card="#ffffff",
            ink="#22252a",
            muted="#626a73",
            grid="#e8e6e1",
            palette=["#2f7d78", "#c4623a", "#3f6ea8"],
            ramp=["#f4f2ed", "#e3a98d", "#a8431d"],
        ),
        "dark": _theme(
            card="#1d2024",
            ink="#e6e4df",
            muted="#9aa3ab",
            grid="#31363c",
            palette=["#5fb3ab", "#e08a5f", "#7fa9de"],
            ramp=["#262a2f", "#84523b", "#f0a27c"],
        ),
    }


def _theme(*, card: str, ink: str, muted: str, grid: str, palette: list[str], ramp: list[str]) -> dict[str, Any]:
    kept, dropped, plain = palette
    return {
        "background": "transparent",
        "font": _FONT,
        "padding": {"left": 0, "right": 4, "top": 4, "bottom": 4},
        "view": {"stroke": "transparent"},
        "axis": {
            "labelColor": muted,
            "labelFontSize": 12,
            "titleColor": muted,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": grid,
            "domainColor": grid,
            "tickColor": grid,
            "titleLimit": 240,
            "tickCount": 5,
            "labelOverlap": True,
            "labelSeparation": 8,
        },
        "axisBand": {"grid": False, "ticks": False, "domain": False, "labelColor": ink, "labelPadding": 8},
        "legend": {
            "labelColor": ink,
            "labelFontSize": 12,
            "orient": "top",
            "direction": "horizontal",
            "title": None,
            "offset": 4,
        },
        "range": {"category": palette, "heatmap": ramp, "ramp": ramp},
        "style": {
            "kept": {"color": kept},
            "dropped": {"color": dropped},
            "plain": {"color": plain},
            "segment": {"stroke": card, "strokeWidth": 0.6},
            "column": {"stroke": card, "strokeWidth": 0.6},
            "label": {"color": muted, "fontSize": 12, "align": "left", "baseline": "middle", "dx": 5},
            "threshold": {"color": dropped, "strokeWidth": 1.5, "strokeDash": [5, 3]},
            "interval": {"color": ink, "strokeWidth": 1.5},
        },
    }


def bars(
    rows: Rows, *, x: Measure, y: str, hover: Sequence[Measure] = (), tone: str = "kept", dotted_names: bool = False
) -> dict[str, Any]:
    """Horizontal bars, from top to bottom in the order of the rows, with their values at the end.

    Args:
        x: what is measured. y: the name of each bar. hover: what is shown beside them under the pointer.
        dotted_names: names such as `rule_set.reason`, of which a narrow chart shows what stands behind the dot.
    """
    field, title, number_format = x
    most = max((row[field] for row in rows), default=0) or 1
    axis = alt.Axis(labelExpr=_BEHIND_THE_DOT) if dotted_names else alt.Undefined
    base = alt.Chart(_inline(rows)).encode(
        y=alt.Y(f"{y}:N", title=None, sort=None, scale=alt.Scale(paddingInner=_BAR_PADDING), axis=axis),
        x=alt.X(
            f"{field}:Q",
            title=title,
            axis=_counts(most),
            scale=_with_room(most),
        ),
        tooltip=_tooltip([(y, _title(y), None), x, *hover]),
    )
    chart = alt.layer(
        base.mark_bar(style=tone, cornerRadiusEnd=2),
        base.mark_text(style="label").encode(text=alt.Text(f"{field}:Q", format=number_format or "")),
    )
    return _finished(chart.properties(width="container", height=_bars_height(rows, y, _BAR_STEP)))


def stacked_bars(rows: Rows, *, x: Measure, y: str, segment: str) -> dict[str, Any]:
    """Horizontal bars of two tones, by the rows' `fate` (kept, dropped); each row is one `segment` of a bar.

    Bars and segments stand in the order of the rows.
    """
    numbered = [{**row, "at": at} for at, row in enumerate(rows)]
    totals: dict[str, float] = {}
    for row in rows:
        totals[row[y]] = totals.get(row[y], 0) + row[x[0]]
    most = max(totals.values(), default=0)
    chart = (
        alt.Chart(_inline(numbered))
        .mark_bar(style="segment")
        .encode(
            y=alt.Y(f"{y}:N", title=None, sort=None, scale=alt.Scale(paddingInner=_BAR_PADDING)),
            x=alt.X(f"{x[0]}:Q", title=x[1], stack="zero", axis=_counts(most), scale=alt.Scale(nice=False)),
            color=alt.Color("fate:N", scale=alt.Scale(domain=["kept", "dropped"])),
            order=alt.Order("at:Q"),
            tooltip=_tooltip([(y, _title(y), None), (segment, _title(segment), None), x]),
        )
    )
    return _finished(chart.properties(width="container", height=_bars_height(numbered, y, _BAR_STEP + 10)))


def nested_bars(rows: Rows, *, x: Measure, y: str, segment: str, segments: Sequence[str]) -> dict[str, Any]:
    """Horizontal bars with dotted names, each of three segments that fade; bars and segments in the order of the rows.

    Args:
        segments: the values of the column `segment`; each row is one segment of a bar.
    """
    numbered = [{**row, "at": at} for at, row in enumerate(rows)]
    totals: dict[str, float] = {}
    for row in rows:
        totals[row[y]] = totals.get(row[y], 0) + row[x[0]]
    chart = (
        alt.Chart(_inline(numbered))
        .mark_bar(style=["dropped", "segment"])
        .encode(
            y=alt.Y(
                f"{y}:N",
                title=None,
                sort=None,
                scale=alt.Scale(paddingInner=_BAR_PADDING),
                axis=alt.Axis(labelExpr=_BEHIND_THE_DOT),
            ),
            x=alt.X(
                f"{x[0]}:Q",
                title=x[1],
                stack="zero",
                axis=_counts(max(totals.values(), default=0)),
                scale=alt.Scale(nice=False),
            ),
            opacity=alt.Opacity(
                f"{segment}:O",
                sort=list(segments),
                scale=alt.Scale(domain=list(segments), range=[1, 0.5, 0.2]),
                legend=alt.Legend(columns=1),
            ),
            order=alt.Order("at:Q"),
            tooltip=_tooltip([(y, _title(y), None), (segment, _title(segment), None), x]),
        )
    )
    return _finished(chart.properties(width="container", height=_bars_height(numbered, y, _BAR_STEP)))


def heat_map(rows: Rows, *, x: str, y: str, heat: Measure, hover: Sequence[Measure] = ()) -> dict[str, Any]:
    """Squares of two dotted names, by a share from 0 to 1; names in the order of the rows."""
    field, title, number_format = heat
    below = alt.Axis(labelExpr=_AFTER_THE_DOT, labelAngle=-50, labelOverlap=False, labelLimit=150)
    chart = (
        alt.Chart(_inline(rows))
        .mark_rect(style="segment")
        .encode(
            y=alt.Y(
                f"{y}:N", title=None, sort=None, axis=alt.Axis(labelExpr=_BEHIND_THE_DOT), scale=alt.Scale(padding=0)
            ),
            x=alt.X(f"{x}:N", title=None, sort=None, axis=below, scale=alt.Scale(padding=0)),
            color=alt.Color(
                f"{field}:Q",
                scale=alt.Scale(domain=[0, 1]),
                legend=alt.Legend(format=".0%", gradientLength=140, gradientThickness=10, tickCount=2),
            ),
            tooltip=_tooltip([(y, _title(y), None), (x, _title(x), None), (field, title, number_format), *hover]),
        )
    )
    return _finished(chart.properties(width="container", height=_bars_height(rows, y, _BAR_STEP)))


def threshold_curve(
    points: Rows, *, x: Measure, y: Measure, threshold: float, logarithmic: bool = False, height: int = 150
) -> dict[str, Any]:
    """A line over thresholds, with the one in use drawn across and the values under the pointer."""
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False, nice=False)
    base = alt.Chart(_inline(points)).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1], scale=scale, axis=alt.Axis(format="~s" if logarithmic else "~g", grid=False)),
        y=alt.Y(f"{y[0]}:Q", title=y[1], scale=alt.Scale(zero=True), axis=alt.Axis(format="~%", tickCount=4)),
    )
    hovered = alt.selection_point(name="hovered", nearest=True, on="pointerover", fields=[x[0]], empty=False)
    line = (
        alt.Chart(_inline([{x[0]: threshold}]))
        .mark_rule(style="threshold")
        .encode(x=alt.X(f"{x[0]}:Q", title=x[1]), tooltip=_tooltip([(x[0], "Threshold", x[2])]))
    )
    dots = (
        base.mark_point(style="kept", filled=True, size=60)
        .encode(opacity=alt.condition(hovered, alt.value(1), alt.value(0)), tooltip=_tooltip([x, y]))
        .add_params(hovered)
    )
    layers = alt.layer(base.mark_line(style="kept", strokeWidth=1.8), line, dots)
    return _finished(layers.properties(width="container", height=height))


def histogram(
    bins: Rows,
    *,
    x: str,
    y: str,
    lines: Sequence[float] = (),
    number_format: str = ".4~g",
    logarithmic: bool = False,
    height: int = _HEIGHT,
) -> dict[str, Any]:
    """Columns over the bins' `from` and `to` with their `count`; `lines` draws thresholds across."""
    most = max((row["count"] for row in bins), default=0)
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False, nice=False)
    counted = (
        alt.Chart(_inline([{**row, "floor": 0} for row in bins]))
        .mark_rect(style=["kept", "column"])
        .encode(
            x=alt.X("from:Q", title=x, scale=scale, axis=alt.Axis(format="~s" if logarithmic else "~g", grid=False)),
            x2="to:Q",
            y=alt.Y("count:Q", title=y, axis=_counts(most, tickCount=_whole_ticks(most, 4))),
            y2="floor:Q",
            tooltip=_tooltip([("from", "From", number_format), ("to", "To", number_format), ("count", y, ",d")]),
        )
    )
    if not lines:
        return _finished(counted.properties(width="container", height=height))
    thresholds = (
        alt.Chart(_inline([{"threshold": line} for line in lines]))
        .mark_rule(style="threshold")
        .encode(x=alt.X("threshold:Q", title=x), tooltip=_tooltip([("threshold", "Threshold", number_format)]))
    )
    return _finished(alt.layer(counted, thresholds).properties(width="container", height=height))


def columns(rows: Rows, *, x: Channel, y: Measure) -> dict[str, Any]:
    """Upright bars side by side, in the order of the rows."""
    most = max((row[y[0]] for row in rows), default=0)
    chart = (
        alt.Chart(_inline(rows))
        .mark_bar(style="kept", cornerRadiusEnd=2)
        .encode(
            x=alt.X(
                f"{x[0]}:N", title=x[1], sort=None, axis=alt.Axis(labelAngle=-40), scale=alt.Scale(paddingInner=0.12)
            ),
            y=alt.Y(f"{y[0]}:Q", title=y[1], axis=_counts(most, tickCount=_whole_ticks(most, 6))),
            tooltip=_tooltip([(x[0], x[1], None), y]),
        )
    )
    return _finished(chart.properties(width="container", height=_HEIGHT))


def curves(
    rows: Rows,
    *,
    x: Measure,
    y: Measure,
    series: Sequence[str],
    dotted: str | None = None,
    zero: bool = False,
    height: int = 300,
) -> dict[str, Any]:
    """Lines over a number, one a value of the rows' `series`, with the values under the pointer.

    Args:
        dotted: the series whose every value is shown as a dot. zero: whether the vertical axis begins at 0.
    """
    legend = alt.Legend() if len(series) > 1 else None
    furthest = max((row[x[0]] for row in rows), default=0)
    highest = max((row[y[0]] for row in rows), default=0)
    base = alt.Chart(_inline(rows)).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1], axis=_counts(furthest, grid=False), scale=alt.Scale(nice=False)),
        y=alt.Y(f"{y[0]}:Q", title=y[1], scale=alt.Scale(zero=zero), axis=_counts(highest)),
        color=alt.Color("series:N", scale=alt.Scale(domain=list(series)), legend=legend),
    )
    hovered = alt.selection_point(name="hovered", nearest=True, on="pointerover", fields=[x[0]], empty=False)
    layers = [base.mark_line(strokeWidth=1.8)]
    if dotted is not None:
        of_series = alt.FieldEqualPredicate(field="series", equal=dotted)
        layers.append(base.transform_filter(of_series).mark_point(filled=True, size=40, opacity=1))
    layers.append(
        base.mark_point(filled=True, size=70)
        .encode(
            opacity=alt.condition(hovered, alt.value(1), alt.value(0)),
            tooltip=_tooltip([("series", "Series", None), x, y]),
        )
        .add_params(hovered)
    )
    return _finished(alt.layer(*layers).properties(width="container", height=height))


def loss_curve(points: Rows) -> dict[str, Any]:
    """Loss over steps, from rows of step, loss and series (training, validation)."""
    return curves(
        points,
        x=("step", "Step", ",d"),
        y=("loss", "Loss (nats per token)", ".4f"),
        series=["training", "validation"],
        dotted="validation",
    )


def intervals(rows: Rows, *, x: Measure, y: str) -> dict[str, Any]:
    """Horizontal bars; where a row has `low` and `high`, that interval is drawn over its end.

    Rows have `fate` (model, compressor), low, high (null: no interval), and `end`, behind which the value is written.
    """
    field, title, number_format = x
    most = max((row.get("high") or row[field] for row in rows), default=0) or 1
    base = alt.Chart(_inline(rows)).encode(
        y=alt.Y(f"{y}:N", title=None, sort=None, scale=alt.Scale(paddingInner=_BAR_PADDING)),
        tooltip=_tooltip(
            [(y, _title(y), None), x, ("low", "Interval from", number_format), ("high", "to", number_format)]
        ),
    )
    end = alt.X(f"{field}:Q", title=title, scale=_with_room(most))
    spans = base.transform_filter("isValid(datum.low)")
    chart = alt.layer(
        base.mark_bar(cornerRadiusEnd=2).encode(
            x=end, color=alt.Color("fate:N", scale=alt.Scale(domain=["model", "compressor"]), legend=None)
        ),
        spans.mark_rule(style="interval").encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_text(style="label").encode(
            x=alt.X("end:Q", title=title), text=alt.Text(f"{field}:Q", format=number_format or "")
        ),
    )
    return _finished(chart.properties(width="container", height=_bars_height(rows, y, _BAR_STEP + 8)))


def png(specification: Mapping[str, Any], *, width: int = 760) -> bytes:
    """The chart as a light picture on white, for places that run no scripts."""
    theme = {**themes()["light"], "background": "white", "padding": 12}
    image: bytes = vl_convert.vegalite_to_png({**specification, "width": width}, config=theme, scale=2)
    return image


@lru_cache(maxsize=1)
def script_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script that needs no network; about 0.9 MB."""
    bundle: str = vl_convert.javascript_bundle(_EXPORTED)
    return bundle


def _finished(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    # a width that follows the page's; heights are the chart's own
    specification["autosize"] = {"type": "fit-x", "contains": "padding"}
    specification.pop("config", None)  # altair's own theme: ours is laid under the chart where it is drawn
    return specification


def _whole_ticks(most: float, ticks: int) -> int:
    """So many ticks on an axis of counts, and fewer where that would need fractions."""
    return max(1, min(ticks, int(most)))


def _bars_height(rows: Rows, field: str, step: int) -> int:
    return step * len({row[field] for row in rows})


def _inline(rows: Rows) -> Any:
    return alt.InlineData(values=[dict(row) for row in rows])


def _tooltip(measures: Sequence[Measure]) -> list[Any]:
    # quantitative where numbers are formatted, else as it is
    return [
        alt.Tooltip(f"{field}:Q", title=title, format=number_format)
        if number_format
        else alt.Tooltip(f"{field}:N", title=title)
        for field, title, number_format in measures
    ]


def _with_room(most: float) -> Any:
    """A scale from 0 that leaves room for a value behind the longest bar, however narrow the chart is."""
    share = f"max(0.4, (width - {_LABEL_PIXELS}) / max(1, width))"
    return alt.Scale(domainMin=0, domainMax=alt.ExprRef(expr=f"{most} / {share}"), nice=False)


def _counts(most: float, **options: Any) -> Any:
    """An axis that reaches to `most`: 12,000 in full, 1.2M in short, and 0 as it is."""
    if most < 100_000:
        return alt.Axis(format=",.6~r", **options)
    return alt.Axis(format="~s", labelExpr="datum.value === 0 ? '0' : datum.label", **options)


def _title(field: str) -> str:
    return field.replace("_", " ").capitalize()
