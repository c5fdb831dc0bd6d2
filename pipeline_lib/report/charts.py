"""Charts as Vega-Lite specifications. They name roles instead of colours: a theme gives those, light or dark.

Specifications hold all their data, so what is drawn is aggregated before it comes here.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import vl_convert

Rows = Sequence[Mapping[str, Any]]
Channel = tuple[str, str | None]  # field, title
Measure = tuple[str, str, str | None]  # field, title, d3 format of its values

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_BAR_STEP = 24
_BAR_PADDING = 0.28
_HEIGHT = 240
_ROOM_FOR_LABELS = 1.18  # of the longest bar


def themes() -> dict[str, dict[str, Any]]:
    """Vega configurations by name. The palettes keep apart under the common kinds of colour blindness."""
    return {
        "light": _theme(ink="#22252a", muted="#626a73", grid="#e8e6e1", palette=["#2f7d78", "#c4623a", "#3f6ea8", "#a8842c"]),
        "dark": _theme(ink="#e6e4df", muted="#9aa3ab", grid="#31363c", palette=["#5fb3ab", "#e08a5f", "#7fa9de", "#d3b35c"]),
    }


def _theme(*, ink: str, muted: str, grid: str, palette: list[str]) -> dict[str, Any]:
    kept, dropped, third, _ = palette
    return {
        "background": "transparent",
        "font": _FONT,
        "padding": 0,
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
            "tickCount": 5,
            "labelOverlap": True,
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
        "range": {"category": palette},
        "style": {
            "kept": {"fill": kept},
            "dropped": {"fill": dropped},
            "plain": {"fill": third},
            "segment": {"stroke": "#ffffff", "strokeOpacity": 0.55, "strokeWidth": 0.6},
            "label": {"fill": muted, "fontSize": 12, "align": "left", "baseline": "middle", "dx": 5},
            "threshold": {"stroke": dropped, "strokeWidth": 1.5, "strokeDash": [5, 3]},
            "interval": {"stroke": ink, "strokeWidth": 1.5},
            "guide": {"stroke": muted, "strokeWidth": 1, "strokeDash": [2, 3]},
        },
    }


def bars(
    rows: Rows, *, x: Measure, y: Channel, hover: Sequence[Measure] = (), tone: str = "kept", label: str | None = None
) -> dict[str, Any]:
    """Horizontal bars, from top to bottom in the order of the rows, with their values at the end.

    Args:
        x: what is measured. y: the name of each bar. hover: what is shown beside them under the pointer.
        label: format of the values at the bars' ends; by default that of `x`.
    """
    field, title, number_format = x
    most = max((row[field] for row in rows), default=0) or 1
    base = alt.Chart(_inline(rows)).encode(
        y=alt.Y(f"{y[0]}:N", title=y[1], sort=None, scale=alt.Scale(paddingInner=_BAR_PADDING)),
        x=alt.X(
            f"{field}:Q",
            title=title,
            axis=alt.Axis(format=_axis_format(number_format)),
            scale=alt.Scale(domain=[0, most * _ROOM_FOR_LABELS], nice=False),
        ),
        tooltip=_tooltip([(y[0], _name(y), None), x, *hover]),
    )
    chart = alt.layer(
        base.mark_bar(style=tone, cornerRadiusEnd=2),
        base.mark_text(style="label").encode(text=alt.Text(f"{field}:Q", format=label or number_format or "")),
    )
    return _finished(chart.properties(width="container", height=alt.Step(_BAR_STEP)))


def stacked_bars(
    rows: Rows, *, x: Measure, y: Channel, order: Sequence[str], segment: str, tones: tuple[str, str] = ("kept", "dropped")
) -> dict[str, Any]:
    """Horizontal bars of two tones, by the rows' `fate`; each row is one `segment` of a bar."""
    numbered = [{**row, "at": at} for at, row in enumerate(rows)]
    chart = (
        alt.Chart(_inline(numbered))
        .mark_bar(style="segment")
        .encode(
            y=alt.Y(f"{y[0]}:N", title=y[1], sort=list(order), scale=alt.Scale(paddingInner=_BAR_PADDING)),
            x=alt.X(f"{x[0]}:Q", title=x[1], stack="zero", axis=alt.Axis(format=_axis_format(x[2]))),
            color=alt.Color("fate:N", scale=alt.Scale(domain=list(tones))),
            order=alt.Order("at:Q"),
            tooltip=_tooltip([(y[0], _name(y), None), (segment, _title(segment), None), x]),
        )
    )
    return _finished(chart.properties(width="container", height=alt.Step(_BAR_STEP + 10)))


def histogram(
    bins: Rows, *, x: str, y: str, line: float | None = None, number_format: str = "", tone: str = "kept", height: int = _HEIGHT
) -> dict[str, Any]:
    """Columns over the bins' `from` and `to` with their `count`; `line` draws a threshold across."""
    columns = (
        alt.Chart(_inline(bins))
        .mark_bar(style=tone, binSpacing=1)
        .encode(
            x=alt.X(
                "from:Q",
                bin="binned",
                title=x,
                axis=alt.Axis(format=number_format, grid=False),
                scale=alt.Scale(zero=False, nice=False),
            ),
            x2="to:Q",
            y=alt.Y("count:Q", title=y, axis=alt.Axis(format="~s")),
            tooltip=_tooltip([("from", "From", number_format), ("to", "To", number_format), ("count", y, ",d")]),
        )
    )
    if line is None:
        return _finished(columns.properties(width="container", height=height))
    mark = (
        alt.Chart(_inline([{"line": line}]))
        .mark_rule(style="threshold")
        .encode(x=alt.X("line:Q"), tooltip=_tooltip([("line", "Threshold", ".4~f")]))
    )
    return _finished(alt.layer(columns, mark).properties(width="container", height=height))


def columns(rows: Rows, *, x: Channel, y: Measure, hover: Sequence[Measure] = ()) -> dict[str, Any]:
    """Upright bars side by side, in the order of the rows."""
    chart = (
        alt.Chart(_inline(rows))
        .mark_bar(style="kept", cornerRadiusEnd=2)
        .encode(
            x=alt.X(f"{x[0]}:N", title=x[1], sort=None, axis=alt.Axis(labelAngle=-40), scale=alt.Scale(paddingInner=0.12)),
            y=alt.Y(f"{y[0]}:Q", title=y[1], axis=alt.Axis(format="~s", grid=True)),
            tooltip=_tooltip([(x[0], _name(x), None), y, *hover]),
        )
    )
    return _finished(chart.properties(width="container", height=_HEIGHT))


def curves(
    rows: Rows, *, x: Measure, y: Measure, series: Sequence[str], points: Sequence[str] = (), height: int = 300
) -> dict[str, Any]:
    """Lines over a number, one a value of the rows' `series`; those of `points` also show each value as a dot."""
    color = alt.Color("series:N", scale=alt.Scale(domain=list(series)), legend=alt.Legend() if len(series) > 1 else None)
    base = alt.Chart(_inline(rows)).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1], axis=alt.Axis(format=_axis_format(x[2]), grid=False), scale=alt.Scale(nice=False)),
        y=alt.Y(f"{y[0]}:Q", title=y[1], scale=alt.Scale(zero=False), axis=alt.Axis(format=_axis_format(y[2]))),
        color=color,
    )
    hovered = alt.selection_point(name="hovered", nearest=True, on="pointerover", fields=[x[0]], empty=False)
    tooltip = _tooltip([("series", "Series", None), x, y])
    layers = [base.mark_line(strokeWidth=1.8)]
    if points:
        of_points = alt.FieldOneOfPredicate(field="series", oneOf=list(points))
        layers.append(base.transform_filter(of_points).mark_point(filled=True, size=36, opacity=1))
    layers += [
        base.mark_point(filled=True, size=60).encode(
            opacity=alt.condition(hovered, alt.value(1), alt.value(0)), tooltip=tooltip
        ).add_params(hovered),
        base.transform_filter(hovered).mark_rule(style="guide").encode(y=alt.Y(), color=alt.Color(), tooltip=tooltip),
    ]
    return _finished(alt.layer(*layers).properties(width="container", height=height))


def intervals(rows: Rows, *, x: Measure, y: Channel) -> dict[str, Any]:
    """Horizontal bars; where a row has `low` and `high`, an interval is drawn over its end."""
    field, title, number_format = x
    most = max((row.get("high") or row[field] for row in rows), default=0) or 1
    base = alt.Chart(_inline(rows)).encode(
        y=alt.Y(f"{y[0]}:N", title=y[1], sort=None, scale=alt.Scale(paddingInner=_BAR_PADDING)),
        tooltip=_tooltip([(y[0], _name(y), None), x, ("low", "Interval from", number_format), ("high", "to", number_format)]),
    )
    end = alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, most * _ROOM_FOR_LABELS], nice=False))
    spans = base.transform_filter("isValid(datum.low)")
    chart = alt.layer(
        base.mark_bar(cornerRadiusEnd=2).encode(
            x=end, color=alt.Color("fate:N", scale=alt.Scale(domain=["model", "compressor"]), legend=None)
        ),
        spans.mark_rule(style="interval").encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_text(style="label").encode(x=alt.X("label_at:Q", title=title), text=alt.Text(f"{field}:Q", format=number_format or "")),
    )
    return _finished(chart.properties(width="container", height=alt.Step(_BAR_STEP + 8)))


def png(specification: Mapping[str, Any], *, width: int = 760) -> bytes:
    """The chart as a light picture on white, for places that show no scripts."""
    theme = {**themes()["light"], "background": "white", "padding": 12}
    image: bytes = vl_convert.vegalite_to_png({**specification, "width": width}, config=theme, scale=2)
    return image


@lru_cache(maxsize=1)
def script_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script that needs no network; about 0.9 MB."""
    bundle: str = vl_convert.javascript_bundle()
    return bundle


def _finished(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    specification.pop("config", None)  # altair's own theme: ours is laid under the chart where it is drawn
    return specification


def _inline(rows: Rows) -> Any:
    return alt.InlineData(values=[dict(row) for row in rows])


def _tooltip(measures: Sequence[Measure]) -> list[Any]:
    # quantitative where numbers are formatted, else as it is
    return [
        alt.Tooltip(f"{field}:Q", title=title, format=number_format) if number_format else alt.Tooltip(f"{field}:N", title=title)
        for field, title, number_format in measures
    ]


def _axis_format(number_format: str | None) -> str:
    """Short numbers at the ticks of an axis of whole numbers."""
    return "~s" if number_format in (None, ",d") else number_format


def _name(channel: Channel) -> str:
    return channel[1] or _title(channel[0])


def _title(field: str) -> str:
    return field.replace("_", " ").capitalize()
