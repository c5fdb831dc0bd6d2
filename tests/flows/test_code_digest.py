"""The code digest: what must change it, and what must not."""

import textwrap
from itertools import count
from pathlib import Path

import pytest

from flows import code_digest as code_digest_module
from flows.code_digest import code_digest

_numbers = count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write modules of a package of our own, under a new name each time: imports are remembered."""
    name = f"sandbox_{next(_numbers)}"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code_digest_module, "_PACKAGES", (name,))

    def write(version: str, **modules: str) -> str:
        for cached in ("_source", "_read"):
            getattr(code_digest_module, cached).cache_clear()
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(source).replace("PACKAGE", name))
        return code_digest([f"{name}.work"])

    return write


WORK = """
    from PACKAGE.rules import limit

    def work(value):
        return value > limit
"""


def test_comments_docstrings_and_layout_do_not_count(package) -> None:
    before = package("a", work=WORK, rules="limit = 3\n")
    after = package(
        "b",
        work='''
            """What this is."""
            from PACKAGE.rules import limit  # why


            def work(value):
                """What it does."""
                return (
                    value > limit
                )
        ''',
        rules="# the line\nlimit = 3\n",
    )
    assert before == after


def test_a_changed_constant_in_an_imported_module_counts(package) -> None:
    assert package("a", work=WORK, rules="limit = 3\n") != package("b", work=WORK, rules="limit = 4\n")


def test_a_module_that_is_not_imported_does_not_count(package) -> None:
    before = package("a", work=WORK, rules="limit = 3\n", other="x = 1\n")
    assert before == package("b", work=WORK, rules="limit = 3\n", other="x = 2\n")


def test_a_data_file_beside_a_module_counts(package, tmp_path: Path) -> None:
    before = package("a", work=WORK, rules="limit = 3\n")
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    (folder / "page.jinja").write_text("{{ title }}")
    assert before != package("b", work=WORK, rules="limit = 3\n")


def test_import_cycles_end(package) -> None:
    assert package("a", work="from PACKAGE.rules import limit\n", rules="import PACKAGE.work\nlimit = 1\n")
