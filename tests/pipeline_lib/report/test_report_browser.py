"""The page in a real browser: charts drawn, no error, no request, no sideways scrolling."""

import pytest
from chromium import browser

from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.report.stage import report_part
from storage.manifests import Part, PartWriter, StageAddress

__all__ = ["browser"]


@pytest.fixture(scope="module")
def page_url(hostile_run, facts):
    run = hostile_run
    writer = PartWriter(store=run.store, address=StageAddress(stage="report", key="k"), part="all")
    report_part(Part(name="all"), run.stages, writer, ReportParameters(num_signals=3), facts=facts)
    return f"file://{run.store.full_path('stages/report/k/report/report.html')}"


def drawn(page):
    page.locator("html[data-charts=drawn]").wait_for(state="attached", timeout=60_000)


def test_a_hostile_run_draws_all_its_charts_wide_and_narrow_light_and_dark(browser, page_url):
    for width, scheme in ((1280, "light"), (360, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message, seen=complaints: seen.append(message.text))
        page.on("pageerror", lambda error, seen=complaints: seen.append(str(error)))
        page.on("request", lambda request, seen=complaints: seen.append(request.url))
        page.goto(page_url)
        drawn(page)

        assert complaints == [page_url]  # the page itself is all that is ever asked for
        charts = page.locator(".chart").count()
        assert charts > 10
        assert page.locator(".chart svg").count() == charts
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        assert page.evaluate("window.broken") is None
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colours == ("rgb(250, 249, 246)" if scheme == "light" else "rgb(22, 24, 27)")
        context.close()


def test_the_page_can_be_read_before_its_charts_are_drawn(browser, page_url):
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    # whether the page was ready for its reader, at the moment when the last chart was drawn
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => { window.drawnAtFirst = document.documentElement.dataset.charts })"
    )
    page.goto(page_url)
    drawn(page)
    assert page.evaluate("window.drawnAtFirst ?? null") is None
    # and what is under a chart does not jump when it is drawn: the room that was kept is about what it took
    page.reload(wait_until="domcontentloaded")
    before = page.evaluate("document.documentElement.scrollHeight")
    drawn(page)
    after = page.evaluate("document.documentElement.scrollHeight")
    assert abs(after - before) < 0.05 * after
    context.close()


def test_every_chart_has_a_title_named_axes_and_values_under_the_pointer(browser, page_url):
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(page_url)
    drawn(page)
    specifications = page.evaluate("JSON.parse(document.getElementById('chart-specifications').textContent)")
    figures = page.locator("figure")
    assert figures.count() == len(specifications) > 10
    tooltip = page.locator("#vg-tooltip-element.visible")
    for number in range(figures.count()):
        figure = figures.nth(number)
        name = figure.get_attribute("id").removeprefix("figure-")
        assert figure.locator("h3").inner_text().strip(), name
        axes = list(measured_axes(specifications[name]))
        assert all(axis.get("title") for axis in axes), name
        shown = figure.locator(".chart .role-axis-title text").all_text_contents()
        assert {axis["title"] for axis in axes} <= set(shown), name

        figure.scroll_into_view_if_needed()
        x, y = figure.locator(".chart svg").evaluate(WHERE_TO_POINT)
        page.mouse.move(x - 3, y - 3)
        page.mouse.move(x, y)
        tooltip.wait_for(timeout=10_000)
        assert any(character.isdigit() for character in tooltip.inner_text()), name
        page.mouse.move(0, 0)
        tooltip.wait_for(state="detached", timeout=10_000)
    page.close()


# the middle of the largest bar or square of a chart; of a chart of lines, its own
WHERE_TO_POINT = """svg => {
  const area = (box) => box.width * box.height;
  const boxes = [...svg.querySelectorAll(".mark-rect.role-mark path")].map((path) => path.getBoundingClientRect());
  const box = boxes.sort((a, b) => area(b) - area(a))[0] ?? svg.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""


def measured_axes(specification):
    """The encodings of a Vega-Lite chart that put a number on an axis."""
    for part in (specification, *specification.get("layer", ())):
        for channel in ("x", "y"):
            axis = part.get("encoding", {}).get(channel)
            if axis is not None and axis.get("type") == "quantitative":
                yield axis


def test_hovering_over_a_bar_shows_its_values_as_text(browser, page_url):
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(page_url)
    drawn(page)
    bar = page.locator("#figure-hosts .mark-rect path").first
    bar.scroll_into_view_if_needed()
    bar.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=10_000)

    assert "</script>" in tooltip.inner_text()
    assert "Documents" in tooltip.inner_text()
    assert tooltip.locator("script, img").count() == 0
    page.close()
