"""What the page of one document is made of, beyond its text."""

import re

import pyarrow as pa
import pytest
from made_run import ADDRESS
from published_stages import document_row, publish_tables

from pipeline_lib.browse.differences import differences
from pipeline_lib.browse.documents import read_document_table
from pipeline_lib.browse.edited_text import EditedText, Piece
from pipeline_lib.browse.pages import DocumentPage, RunHead
from pipeline_lib.browse.published import PublishedTables
from pipeline_lib.browse.selection import Filters, select
from pipeline_lib.browse.single import document_page, fold_same, is_web_address
from pipeline_lib.browse.views import View
from storage.schemas import DOCUMENTS, DUPLICATES
from storage.store import Store

HEAD = RunHead(
    run_id="r", recipe_name="r", created_at="", corpus_digest="", num_documents=0, report_address=None, notice=""
)


def page_of(published, table, doc_id: str, view: View | None = None) -> DocumentPage:
    view = view or View()
    selection = select(table, view.filters, view.order)
    return document_page(HEAD, view, published, table, selection, table.find(doc_id), asked=lambda *_: [], earlier={})


def test_of_long_alike_texts_the_ends_around_each_difference_are_left():
    words = [f"w{number}" for number in range(1000)]
    other = [*words[:500], "changed", *words[501:]]
    ours, theirs = fold_same(differences(" ".join(words), " ".join(other)))
    assert [text for text, differs in ours if differs] == ["w500"]
    assert [text for text, differs in theirs if differs] == ["changed"]
    shown = "".join(text for text, _ in ours)
    assert len(shown) < 700
    assert "w499 w500 w501" in shown
    folded = [int(piece.split()[0].replace(",", "")) for piece in shown.split("[…")[1:]]
    # what is folded and what is shown are together all that there is
    left = sum(len(re.sub(r" ?\[….*…\] ?", "", text)) for text, _ in ours)
    assert left + sum(folded) == len(" ".join(words))


def test_short_alike_texts_are_not_folded():
    ours, theirs = fold_same(differences("one two three", "one two four"))
    assert "".join(text for text, _ in ours) == "one two three"
    assert "".join(text for text, _ in theirs) == "one two four"


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("https://a.test/x?y=1", True),
        ("http://a.test", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//a.test", False),
        (" https://a.test", False),
        ("https://a.test/\u202e", False),
        ("https://a.test/\n", False),
        ("file:///etc/passwd", False),
    ],
)
def test_only_addresses_of_the_web_are_followed(url, followed):
    assert is_web_address(url) == followed


def test_neighbours_are_those_of_the_list_that_one_came_from(published, table, browsed_run):
    view = View(filters=Filters(fate="judge"), order="mixed")
    dropped = sorted(browsed_run.dropped)  # mixed: by doc_id
    page = page_of(published, table, dropped[1], view)
    assert page.place == f"2 of {len(dropped)}"
    assert page.previous == view.document_address(dropped[0])
    assert page.following == view.document_address(dropped[2])
    assert page_of(published, table, dropped[0], view).previous is None
    kept = next(iter(browsed_run.duplicates.values()))
    elsewhere = page_of(published, table, kept, view)
    assert (elsewhere.place, elsewhere.previous, elsewhere.following) == ("not in this list", None, None)


def test_the_way_back_leads_to_the_page_of_the_list_that_has_it(published, table, browsed_run):
    doc_id = browsed_run.documents["doc_id"][77].as_py()
    assert page_of(published, table, doc_id).back == f"/?page=2#d-{doc_id}"


def test_no_part_of_a_page_holds_an_address_of_somebody(published, table, browsed_run):
    for doc_id in [*browsed_run.dropped, *browsed_run.duplicates]:
        page = page_of(published, table, doc_id)
        assert page.text is not None
        shown = "".join(piece.text for piece in page.text.pieces)
        if page.beside is not None:
            shown += "".join(text for side in (page.beside.ours, page.beside.theirs) for text, _ in side)
        assert ADDRESS not in shown
        assert (ADDRESS in browsed_run.text_of(doc_id)) == any(p.kind == "masked" for p in page.text.pieces)


def test_a_long_text_is_cut_and_shown_whole_on_demand(published, table, browsed_run, monkeypatch):
    monkeypatch.setattr("pipeline_lib.browse.single._SHOWN_CHARS", 40)
    doc_id = next(iter(browsed_run.duplicates.values()))
    cut = page_of(published, table, doc_id)
    assert isinstance(cut.text, EditedText)
    assert sum(len(piece.text) for piece in cut.text.pieces) == 40
    assert cut.whole_address == f"/documents/{doc_id}?whole=1"
    whole = page_of(published, table, doc_id, View(whole=True))
    assert whole.whole_address is None
    assert "".join(p.text for p in whole.text.pieces if isinstance(p, Piece)) == browsed_run.text_of(doc_id)


@pytest.mark.parametrize(
    ("other", "note", "marked"),
    [
        ("Quite another text.", "next to nothing in common", []),
        ("A text about a mill.", "what the other lacks is marked", ["mill."]),
        ("A text about a wheel.", "the same, character by character", []),
    ],
)
def test_a_duplicate_by_its_url_is_shown_beside_the_kept_one_as_far_as_they_are_alike(tmp_path, other, note, marked):
    texts = ["A text about a wheel.", other]
    documents = [document_row(number, text=text) for number, text in enumerate(texts)]
    removed, kept = (document["doc_id"] for document in documents)
    duplicate = {"doc_id": removed, "rule": "url_duplicate", "kept_id": kept, "bands_shared": 0, "cluster_id": kept}
    stages = {
        "extract": {"documents": (pa.Table.from_pylist(documents, DOCUMENTS), DOCUMENTS)},
        "dedup": {"duplicates": (pa.Table.from_pylist([duplicate], DUPLICATES), DUPLICATES)},
    }
    store = Store(str(tmp_path))
    published = PublishedTables({name: publish_tables(store, name, {"p": tables}) for name, tables in stages.items()})
    beside = page_of(published, read_document_table(published), removed).beside
    assert beside is not None
    assert "a duplicate by its URL" in beside.sentence
    assert note in beside.note
    assert [text for text, differs in beside.theirs if differs] == marked
