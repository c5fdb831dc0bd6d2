"""A real browser, for a test module to import as a fixture; skipped where there is none."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if _BROWSER is None:
        pytest.skip("needs a browser: no chromium or google-chrome on the path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=_BROWSER, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()
