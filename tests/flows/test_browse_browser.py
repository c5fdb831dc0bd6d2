"""The document browser in a real browser: filters, keys, struck-through text, light, dark and a phone's width."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browse_server import serving
from chromium import browser
from large_run import record_run
from made_run import HOSTILE, MadeRun, publish_run

from storage.store import Store

__all__ = ["browser"]


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    return publish_run(Store(str(tmp_path_factory.mktemp("hostile") / "store")), per_part=60, hostile=HOSTILE)


@pytest.fixture(scope="module")
def address(hostile_run: MadeRun) -> Iterator[str]:
    with serving(hostile_run.store, record_run(hostile_run.store, hostile_run.stages)) as address:
        yield address


class Watched:
    """A page, and all that it complained about or asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = address

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def goto(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page

    def check_calm(self) -> None:
        """Nothing of the crawl ran, nothing was asked of anybody else, nothing is wider than the screen."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith((self.address, "data:,"))] == []
        assert self.page.evaluate("window.broken") is None
        assert self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_hostile_documents_do_nothing_and_fit_the_screen(browser, address, hostile_run, width, scheme):
    duplicate, kept = next(iter(hostile_run.duplicates.items()))
    dropped = next(iter(hostile_run.dropped))
    with Watched(browser, address, viewport={"width": width, "height": 780}, color_scheme=scheme) as watched:
        for path in ("/", *(f"/documents/{each}" for each in (duplicate, kept, dropped)), "/?q=function&in=text"):
            page = watched.goto(path)
            watched.check_calm()
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert colour == ("rgb(250, 249, 246)" if scheme == "light" else "rgb(22, 24, 27)")


def test_a_filter_is_chosen_by_its_link_and_taken_away_by_its_chip(browser, address, hostile_run):
    with Watched(browser, address) as watched:
        page = watched.goto("/")
        page.get_by_role("link", name="near_duplicate").click()
        page.wait_for_url("**/?fate=dedup%3Anear_duplicate")
        assert page.locator(".documents > li").count() == len(hostile_run.duplicates) // 2
        assert set(page.locator(".documents .verdict").all_inner_texts()) == {"near duplicate"}
        page.locator(".chips a").first.click()
        page.wait_for_url(f"{address}/")
        watched.check_calm()


def test_on_a_phone_the_filters_open_and_close(browser, address):
    with Watched(browser, address, viewport={"width": 360, "height": 780}, has_touch=True) as watched:
        page = watched.goto("/")
        filters = page.locator(".filters")
        assert not filters.is_visible()
        page.get_by_text("Filters", exact=True).tap()
        assert filters.is_visible()
        watched.check_calm()


def test_what_was_taken_out_is_struck_through_names_its_rule_and_can_be_hidden(browser, address, hostile_run):
    edited = hostile_run.documents["doc_id"][0].as_py()
    with Watched(browser, address) as watched:
        page = watched.goto(f"/documents/{edited}")
        removed = page.locator(".edited del")
        assert removed.inner_text() == "</script1"  # the first eight bytes, and the number of its rule
        assert removed.get_attribute("title") == "signals: c4.too_few_words"
        assert "line-through" in removed.evaluate("element => getComputedStyle(element).textDecorationLine")
        assert "c4.too_few_words" in page.locator(".legend").inner_text()
        page.get_by_text("Hide what was taken out").click()
        assert not removed.is_visible()
        watched.check_calm()


def test_from_a_duplicate_to_the_kept_one(browser, address, hostile_run):
    duplicate, kept = next(iter(hostile_run.duplicates.items()))
    with Watched(browser, address) as watched:
        page = watched.goto(f"/documents/{duplicate}")
        page.keyboard.press("d")
        page.wait_for_url(f"**/documents/{kept}*")
        # the kept one knows of the duplicate: it is in its cluster
        assert page.locator(f'#cluster a[href*="{duplicate}"]').count() == 1
        watched.check_calm()


def test_keys_go_through_list_and_documents(browser, address, hostile_run):
    ids = hostile_run.documents["doc_id"].to_pylist()
    with Watched(browser, address) as watched:
        page = watched.goto("/")

        def focused() -> str:
            found = page.evaluate("document.activeElement.closest('li')?.id ?? ''")
            return str(found).removeprefix("d-")

        page.keyboard.press("j")
        assert focused() == ids[0]
        for _ in range(3):
            page.keyboard.press("j")
        page.keyboard.press("k")
        assert focused() == ids[2]
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/documents/{ids[2]}")
        page.keyboard.press("j")
        page.wait_for_url(f"**/documents/{ids[3]}")
        page.keyboard.press("u")
        page.wait_for_url(f"**/#d-{ids[3]}")
        page.keyboard.press("Enter")  # on with the one that was looked at
        page.wait_for_url(f"**/documents/{ids[3]}")
        page.keyboard.press("u")
        page.wait_for_url(f"**/#d-{ids[3]}")
        page.keyboard.press("j")
        assert focused() == ids[4]
        page.keyboard.press("n")
        page.wait_for_url(re.compile("page=2"))
        page.keyboard.press("k")  # from nowhere, to the last of the page
        assert focused() == ids[99]
        page.keyboard.press("j")
        page.wait_for_url(re.compile("page=3"))
        page.keyboard.press("/")
        page.keyboard.type("jk function")  # letters, not keys, where somebody types
        assert page.locator("input[type=search]").input_value() == "jk function"
        watched.check_calm()


def test_without_scripts_all_of_it_works(browser, address, hostile_run):
    with Watched(browser, address, java_script_enabled=False) as watched:
        page = watched.goto("/")
        page.locator("input[type=search]").fill("function-31.")
        page.get_by_role("button", name="Search").click()
        assert page.locator(".documents > li").count() == 2
        page.locator(".documents .title").first.click()
        assert "function 31" in page.locator("h1").inner_text()
        page.get_by_role("link", name="Next").click()
        page.get_by_role("link", name="List").click()
        assert page.locator(".documents > li").count() == 2
