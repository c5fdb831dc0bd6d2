"""The page in a real browser: charts drawn, no error, no request, no sideways scrolling."""

import shutil

import pytest

from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.report.stage import report_part
from storage.manifests import Part, PartWriter, StageAddress

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if BROWSER is None:
        pytest.skip("needs a browser: no chromium or google-chrome on the path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_url(hostile_run, facts):
    run = hostile_run
    writer = PartWriter(store=run.store, address=StageAddress(stage="report", key="k"), part="all")
    report_part(Part(name="all"), run.stages, writer, ReportParameters(num_signals=3), facts=facts)
    return f"file://{run.store.full_path('stages/report/k/report/report.html')}"


def test_a_hostile_run_draws_all_its_charts_wide_and_narrow_light_and_dark(browser, page_url):
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message, seen=complaints: seen.append(message.text))
        page.on("pageerror", lambda error, seen=complaints: seen.append(str(error)))
        page.on("request", lambda request, seen=complaints: seen.append(request.url))
        page.goto(page_url)
        page.wait_for_function("document.documentElement.dataset.charts === 'drawn'", timeout=60_000)

        assert complaints == [page_url]
        charts = page.locator(".chart").count()
        assert charts > 10
        assert page.locator(".chart svg").count() == charts
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        assert page.evaluate("window.broken") is None
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colours == ("rgb(250, 249, 246)" if scheme == "light" else "rgb(22, 24, 27)")
        context.close()


def test_hovering_over_a_bar_shows_its_values_as_text(browser, page_url):
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(page_url)
    page.wait_for_function("document.documentElement.dataset.charts === 'drawn'", timeout=60_000)
    bar = page.locator("#figure-hosts .mark-rect path").first
    bar.scroll_into_view_if_needed()
    bar.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=10_000)

    assert "</script>" in tooltip.inner_text()
    assert "Documents" in tooltip.inner_text()
    assert tooltip.locator("script, img").count() == 0
    page.close()
