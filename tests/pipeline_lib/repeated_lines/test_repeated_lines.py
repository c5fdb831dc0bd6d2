"""Repeated lines: the frame of a site goes, what is quoted stays, and nothing depends on how documents are divided."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from folded_words import words
from hypothesis import given, settings
from hypothesis import strategies as st
from published_stages import doc_id, document_row

from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters

DAY = datetime(2025, 1, 1, tzinfo=UTC)
few_examples = settings(max_examples=12)  # three stages each; the kernels have tests of their own


def page(number: int, text: str, host: str = "site.example", day: int | None = 0):
    fetched_at = None if day is None else DAY + timedelta(days=day)
    return document_row(number, host=host, text=text, fetched_at=fetched_at)


def prose(seed: int, num_sentences: int = 3) -> str:
    rng = random.Random(seed)
    sentences = [["".join(rng.choices("abcdefghij", k=6)) for _ in range(9)] for _ in range(num_sentences)]
    return "\n\n".join(" ".join(sentence).capitalize() + "." for sentence in sentences)


QUOTATION = "All happy families are alike; each unhappy family is unhappy in its own way."


def site(host: str, num_pages: int, first: int, quoted_on: int = 0):
    """Pages with a frame around what each has of its own; some quote the same sentence."""
    rows = []
    for number in range(num_pages):
        quotation = f"\n\n{QUOTATION}" if number < quoted_on else ""
        own = prose(first + number) + quotation
        text = f"Home | About {host} | Contact\n\n{own}\n\nShare this: Twitter, Facebook\n© {2000 + number} {host}"
        rows.append(page(first + number, text, host))
    return rows


def test_the_frame_of_a_site_goes_and_quotations_stay(taken_out):
    pages = [*site("large.example", 200, 0, quoted_on=15), *site("small.example", 8, 1000, quoted_on=3)]
    with taken_out({"a": pages[::2], "b": pages[1::2]}, min_chars=RepeatedLinesParameters().min_chars) as outcome:
        for row in pages:
            frame_gone = row["text"].split("\n\n", 1)[1].rsplit("\n\n", 1)[0]
            assert outcome.texts[row["doc_id"]] == frame_gone
        assert sum(QUOTATION in text for text in outcome.texts.values()) == 18
        assert {row["rule"] for row in outcome.edits} == {"repeated_line"}
        assert len(outcome.edits) == 208 * 3
        assert outcome.account.documents_out == 208
        # what is shown: the frames, most documents first, with a text as it stands on the page fetched first
        assert [row["documents"] for row in outcome.examples] == [200] * 3 + [8] * 3
        assert [row["scope_documents"] for row in outcome.examples] == [200] * 3 + [8] * 3
        assert "Home | About large.example | Contact" in [row["text"] for row in outcome.examples]


def test_what_is_on_many_sites_goes_only_where_the_whole_corpus_is_counted(taken_out):
    notice = "We use cookies to improve your experience."
    pages = [page(number, f"{prose(number)}\n\n{notice}", host=f"{number}.example") for number in range(20)]
    with taken_out(pages) as outcome:
        assert outcome.edits == []
    with taken_out(pages, scope="corpus") as outcome:
        assert list(outcome.texts.values()) == [prose(number) for number in range(20)]


def test_documents_without_a_host_are_of_no_site(taken_out):
    pages = [page(number, f"{prose(number)}\nThe same line everywhere", host="") for number in range(20)]
    with taken_out(pages) as outcome:
        assert outcome.edits == []
        assert len(outcome.texts) == 20


def test_a_document_that_is_nothing_but_frame_is_dropped_with_a_reason(taken_out):
    frame = "Home | Contact\n\nAll rights reserved"
    pages = [page(number, f"{prose(number)}\n\n{frame}") for number in range(9)]
    pages += [page(9, frame), page(10, f"---\n{frame}"), page(11, "")]
    with taken_out({"a": pages[:5], "b": pages[5:]}) as outcome:
        assert outcome.decisions == {
            doc_id(9): {
                "doc_id": doc_id(9),
                "rule": "only_repeated_lines",
                "value": 2.0,
                "threshold": None,
                "evidence": None,
            }
        }
        assert outcome.account.dropped == {"only_repeated_lines": 1}
        assert (outcome.account.documents_in, outcome.account.documents_out) == (12, 11)
        assert outcome.texts[doc_id(10)] == "---"
        assert outcome.texts[doc_id(11)] == ""
        assert doc_id(9) not in outcome.texts


def test_paragraphs_go_as_a_whole_or_not_at_all(taken_out):
    frame = "Filed under News\nPosted by admin"
    pages = [
        page(number, f"{prose(number)}\n\n{frame}\n\nFiled under News\n{prose(100 + number, 1)}") for number in range(9)
    ]
    with taken_out(pages, unit="paragraph") as outcome:
        assert outcome.texts == {
            doc_id(number): f"{prose(number)}\n\nFiled under News\n{prose(100 + number, 1)}" for number in range(9)
        }
        assert {row["rule"] for row in outcome.edits} == {"repeated_paragraph"}


@pytest.mark.parametrize(("days", "keeper"), [([3, 1, 2, 5], 1), ([None, None, 7, None], 2)])
def test_the_page_fetched_first_keeps_its_line_where_one_is_to_stay(taken_out, days, keeper):
    pages = [page(number, f"{prose(number)}\nHello\nHello", day=day) for number, day in enumerate(days)]
    for parts in ({"a": pages[:1], "b": pages[1:]}, {"b": pages[1:], "a": pages[:1]}):
        with taken_out(parts, max_documents=1, keep_first=True) as outcome:
            assert outcome.texts == {
                doc_id(number): prose(number) + ("\nHello" if number == keeper else "") for number in range(4)
            }


def test_short_units_are_left_alone_where_that_is_asked_for(taken_out):
    pages = [page(number, f"{prose(number)}\nReply\nWrite a reply") for number in range(9)]
    with taken_out(pages, min_chars=6) as outcome:
        assert outcome.texts == {doc_id(number): f"{prose(number)}\nReply" for number in range(9)}


LINES = ("one", "One!", "two", "two 1", "two 22", "three", "---", "", "  ")
drawn_pages = st.lists(
    st.tuples(
        st.lists(st.sampled_from(LINES), max_size=8).map("\n".join),
        st.sampled_from(["", "a.example", "b.example"]),
        st.sampled_from([None, 1, 2]),
        st.integers(0, 2),
    ),
    max_size=12,
)


@few_examples
@given(
    drawn_pages,
    st.sampled_from(["line", "paragraph"]),
    st.sampled_from(["host", "corpus"]),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.randoms(use_true_random=False),
)
def test_what_goes_is_what_plain_python_says_whatever_part_a_document_is_in(
    taken_out, drawn, unit, scope, max_documents, min_share, rng
):
    pages = [page(number, text, host, day) for number, (text, host, day, _) in enumerate(drawn)]
    parts = {
        f"part-{name}": [each for each, (*_, part) in zip(pages, drawn, strict=True) if part == name]
        for name in range(3)
    }
    asked = {"unit": unit, "scope": scope, "max_documents": max_documents, "min_share": min_share}
    expected = plainly_taken_out(pages, **asked)
    with taken_out(parts, **asked) as outcome:
        assert outcome.texts == {key: text for key, text in expected.items() if text is not None}
        assert set(outcome.decisions) == {key for key, text in expected.items() if text is None}
        assert outcome.account.documents_in == len(pages)
        assert outcome.stages["repeated-lines"].manifest.account.documents_out == len(pages)
        examples = outcome.examples
    rng.shuffle(pages)
    with taken_out({"z": pages[: len(pages) // 3], "y": pages[len(pages) // 3 :]}, keep_first=True, **asked) as kept:
        assert kept.examples == examples
        assert kept_once(pages, kept, **asked)


def split(text: str, unit: str) -> list[str]:
    """Units, and what is blank between them as it is: joined, they are the text."""
    lines = text.split("\n")
    if unit == "line":
        return [line for line in lines if line.strip()]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return ["\n".join(paragraph) for paragraph in paragraphs if paragraph]


def repeated_units(pages, *, unit, scope, max_documents, min_share):
    """By scope, the words of the units that are in too many of its documents."""
    documents, having = defaultdict(int), defaultdict(int)
    for row in pages:
        place = row["host"] if scope == "host" else "all"
        if place:
            documents[place] += 1
            for each in {tuple(words(text, digits=False)) for text in split(row["text"], unit)} - {()}:
                having[place, each] += 1
    return {
        (place, each)
        for (place, each), number in having.items()
        if number > max_documents and (scope == "corpus" or number >= min_share * documents[place])
    }


def plainly_taken_out(pages, **asked):
    repeated = repeated_units(pages, **asked)
    left = {}
    for row in pages:
        place = row["host"] if asked["scope"] == "host" else "all"
        goes = [(place, tuple(words(text, digits=False))) in repeated for text in split(row["text"], asked["unit"])]
        left[row["doc_id"]] = without(row["text"], goes, asked["unit"])
    return left


def without(text, goes, unit):
    """Line by line: a blank line is wanted between two units that stay if there was one between them."""
    if not any(goes):
        return text
    if all(goes):
        return None
    numbered, number, in_paragraph = [], -1, False  # lines with the unit that they are of
    for line in text.split("\n"):
        blank = not line.strip()
        if not blank and (unit == "line" or not in_paragraph):
            number += 1
        in_paragraph = not blank
        numbered.append((line, None if blank else number))
    left, waiting, cut = [], [], False
    for line, of in numbered:
        if of is None:
            waiting.append(line)
        elif goes[of]:
            cut = True
        else:
            if not cut:
                left += waiting
            elif waiting and left:
                left.append("")
            left.append(line)
            waiting, cut = [], False
    return "\n".join(left + ([] if cut else waiting))


def kept_once(pages, outcome, **asked):
    """Of each repeated unit, the document with the smallest time has one, and no other document has any."""
    by_id = {row["doc_id"]: row for row in pages}
    for place, each in repeated_units(pages, **asked):
        mine = [row for row in pages if asked["scope"] == "corpus" or row["host"] == place]
        had = [row for row in mine if each in units_of(row["text"], asked["unit"])]
        have = [row["doc_id"] for row in mine if each in units_of(outcome.texts.get(row["doc_id"], ""), asked["unit"])]
        if len(have) != 1 or units_of(outcome.texts[have[0]], asked["unit"]).count(each) != 1:
            return False
        earliest = min((row["fetched_at"] or datetime.max.replace(tzinfo=UTC)) for row in had)
        if (by_id[have[0]]["fetched_at"] or datetime.max.replace(tzinfo=UTC)) != earliest:
            return False
    return True


def units_of(text, unit):
    return [tuple(words(each, digits=False)) for each in split(text, unit)]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_documents": 0}, "max_documents=0"),
        ({"min_share": 1.5}, "min_share=1.5"),
        ({"min_chars": 0}, "min_chars=0"),
        ({"unit": "word"}, "unit='word'"),
        ({"scope": "domain"}, "scope='domain'"),
        ({"memory_bytes": 1000}, "memory_bytes=1000"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, said):
    with pytest.raises(ValueError, match=said):
        RepeatedLinesParameters(**parameters)
