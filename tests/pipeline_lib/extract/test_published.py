"""Dates of publication: what pages state, in the order in which it deserves trust, and nothing that they do not."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.extract.page_blocks import page_blocks
from pipeline_lib.extract.published import iso_date, published_at

ARTICLE = (
    '<script type="application/ld+json">{"@type": "NewsArticle", "datePublished": "2024-05-06T07:08:09Z"}</script>'
)
META = '<meta property="article:published_time" content="2023-01-02">'
TIME = '<time datetime="2022-03-04" pubdate>March 4</time>'


def date_of(markup):
    return published_at(page_blocks(markup.encode()))


@pytest.mark.parametrize(
    ("markup", "date"),
    [
        (ARTICLE, "2024-05-06T07:08:09+00:00"),
        (TIME + META + ARTICLE, "2024-05-06T07:08:09+00:00"),
        (TIME + META, "2023-01-02"),
        (TIME, "2022-03-04"),
        ("<meta content='2023-01-02' itemprop=datePublished>", "2023-01-02"),
        ("<meta name='DC.Date.Issued' content='2023/01/02'>", "2023-01-02"),
        ("<p><time itemprop='datePublished' datetime=2022-03-04T05:06+0130>x</time>", "2022-03-04T05:06:00+01:30"),
        # an article says more about the page than the page does of itself
        (
            '<script type="application/ld+json">{"@graph": [{"@type": "WebPage", "datePublished": "2020-01-01"},'
            '{"@type": ["BlogPosting"], "datePublished": "2021-01-01"}]}</script>',
            "2021-01-01",
        ),
        ('<script type="application/ld+json">{"datePublished": "2020-01-01"</script>' + TIME, "2022-03-04"),  # broken
        ('<script type="application/ld+json">[[[null, 7, {"datePublished": 7}]]]</script>', None),
        ("<script>var datePublished = '2024-05-06'</script>", None),
        ("<time datetime=2022-03-04>of a comment</time>", None),  # whose date this is, nobody says
        ("<meta property=article:modified_time content=2023-01-02>", None),
        ("<meta name=date content=yesterday>" + TIME, "2022-03-04"),
        ("<p>Published on 2024-05-06", None),
        ("", None),
    ],
)
def test_the_most_trusted_statement_counts(markup, date):
    assert date_of(markup) == date


@pytest.mark.parametrize(
    ("stated", "date"),
    [
        (" 2024-02-29 ", "2024-02-29"),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("20240506", "2024-05-06"),
        ("2024-05-06 07:08", "2024-05-06T07:08:00"),
        ("2024-05-06T07:08:09.123+0200", "2024-05-06T07:08:09+02:00"),
        ("2024-05-06T07:08:09-05:30", "2024-05-06T07:08:09-05:30"),
        ("2024-05-06T25:00", None),
        ("2024-05-06T07:08+99:00", None),
        ("Mon, 06 May 2024 07:08:09 GMT", "2024-05-06T07:08:09+00:00"),
        ("6 May 2024", "2024-05-06"),
        ("6 Mai 2024", None),
        ("1989-12-31", None),
        ("1990-01-01", "1990-01-01"),
        ("2100-01-01", None),
        ("1700000000", None),
        ("٢٠٢٤-٠٥-٠٦", "2024-05-06"),
        ("2024", None),
        ("", None),
    ],
)
def test_a_date_is_read_if_it_is_one(stated, date):
    assert iso_date(stated) == date


@given(st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2099, 12, 31)), st.integers(-720, 720))
def test_every_stated_time_is_given_back(moment, minutes):
    moment = moment.replace(microsecond=0, tzinfo=datetime.timezone(datetime.timedelta(minutes=minutes)))
    assert iso_date(moment.isoformat()) == moment.isoformat()
    assert iso_date(moment.date().isoformat()) == moment.date().isoformat()


@given(st.text(max_size=60))
def test_anything_else_is_no_date_or_one_that_python_reads(stated):
    date = iso_date(stated)
    assert date is None or datetime.datetime.fromisoformat(date)
    date_of(f"<meta name=date content='{stated}'><script type='application/ld+json'>{stated}</script>")
