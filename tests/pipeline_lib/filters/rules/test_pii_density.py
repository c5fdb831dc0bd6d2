import re

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.filters.rules.pii_density import SIGNALS, PiiDensityRules, measure
from pipeline_lib.filters.texts import Texts
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import mask_addresses


def measured(*texts: str) -> dict[str, list[float]]:
    column = pa.chunked_array([pa.array(["cut off", *texts], pa.large_string()).slice(1)])
    return {name: values.tolist() for name, values in measure(Texts(column), PiiDensityRules()).items()}


@pytest.mark.parametrize(
    ("text", "num_phones"),
    [
        ("212-234-4567", 1),
        ("call 212-555-0123.", 1),
        ("call (212) 555-0123, or 212.555.0124", 2),
        ("212 555 0123", 1),
        ("(212)555-0123", 1),
        ("1-800-555-0199", 1),
        ("1 (800) 555-0199", 1),
        ("Tel:212-555-0123x12", 1),
        ("212-555-0123 212-555-0124\n212-555-0125", 3),
        ("2125550123", 0),  # ten digits alone: Dolma counts it
        ("1609459200", 0),
        ("012-555-0123", 0),  # no area code begins with 0 or 1
        ("212-055-0123", 0),
        ("212-555-01234", 0),
        ("212-555-0123-4", 0),
        ("9212-555-0123", 0),
        ("x212-555-0123", 0),
        ("https://fine.org/?id=212-555-0123", 0),
        ("978-0-306-40615-7", 0),
        ("2024-05-12 10:20:30", 0),
        ("10.345.678.9012", 0),
        ("+44 20 7946 0958", 1),
        ("+442079460958", 1),
        ("+1 212 555 0123", 1),
        ("+1-212-555-0123", 1),
        ("+49 (0)30 123456", 1),
        ("+46(8)123 456 78; +46 8 123 456 79", 2),
        ("+100", 0),
        ("+1234567890123456", 0),
        ("+0 20 7946 0958", 0),
        ("a+442079460958", 0),
        ("電話+81 3-1234-5678です", 1),
        ("電話212-555-0123です", 1),
        ("٢١٢-٥٥٥-٠١٢٣", 0),
        ("", 0),
    ],
)
def test_a_phone_number_is_what_can_be_dialled(text: str, num_phones: int) -> None:
    assert measured(text)["pii_density_num_phones"] == [num_phones]


def test_kinds_are_counted_apart_and_together() -> None:
    text = "ann@somewhere.org, 93.184.216.34, 2606:4700::1111, 212-555-0123; not 10.0.0.1 nor email@example.com"
    found = measured(text, "nothing", "")
    assert found["pii_density_num_emails"] == [1, 0, 0]
    assert found["pii_density_num_ips"] == [2, 0, 0]
    assert found["pii_density_num_phones"] == [1, 0, 0]
    assert found["pii_density_num_addresses"] == [4, 0, 0]
    assert found["pii_density_per_1000_chars"] == [pytest.approx(4000 / len(text)), 0, 0]
    assert tuple(found) == SIGNALS


PIECES = (
    "ann@somewhere.org|a@b.com@c.net|@|.|8.8.8.8|93.184.216.34|10.0.0.1|2606:4700::1111|::|:|+44 20 7946 0958"
    "|212-555-0123|(212) 555-0123|v| |\n|,|-|1|é|猫|\x00|\u0301|\u202e|\ufffd"
)
TEXTS = st.lists(st.lists(st.sampled_from(PIECES.split("|")), max_size=10).map("".join), max_size=4)
FORMS = re.compile(
    r"\+[1-9][0-9]{0,2}(?:[-. /]?\([0-9]{1,4}\)|[-. /]?[0-9]{1,4}){1,7}"
    r"|(?:1[-. ])?(?:\([2-9][0-9]{2}\)[-. ]?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}"
)
TIED_BEFORE, TIED_BEHIND = re.compile(r"[0-9A-Za-z_.+/=#%&?@-]"), re.compile(r"[-./_=:]?[0-9]")


def phones(text: str) -> int:
    """From left to right: what has the form of a number and nothing before it that belongs to it; it counts if nothing
    behind does, and if it has as many digits as a number has. The character before a number is not the last one's."""
    first_free = i = num_phones = 0
    while i < len(text):
        free = i == 0 or (i > first_free and not TIED_BEFORE.match(text[i - 1]))
        form = FORMS.match(text, i) if free else None
        if form is None:
            i += 1
            continue
        tail = TIED_BEHIND.match(text, form.end())
        num_phones += tail is None and 7 <= len(re.findall("[0-9]", form[0])) <= 15
        first_free = i = tail.end() if tail else form.end()
    return num_phones


@given(TEXTS)
def test_phone_numbers_are_counted_as_a_plain_reading_would(texts: list[str]) -> None:
    assert measured(*texts)["pii_density_num_phones"] == [phones(text) for text in texts]


@given(TEXTS)
def test_addresses_are_those_that_the_privacy_stage_masks(texts: list[str]) -> None:
    found = measured(*texts)
    documents = pa.table(
        {"doc_id": [f"{i:032x}" for i in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    )
    edits = pl.DataFrame(mask_addresses(documents, PrivacyParameters()).to_pydict(), strict=False)
    for i in range(len(texts)):
        rules = [rule for doc_id, rule in zip(edits["doc_id"], edits["rule"], strict=True) if int(doc_id, 16) == i]
        assert found["pii_density_num_emails"][i] == rules.count("email")
        assert found["pii_density_num_ips"][i] == len(rules) - rules.count("email")


@pytest.mark.parametrize(("num_addresses", "reason"), [(5, None), (6, "pii_density.too_many")])
def test_more_than_five_drop_a_document_as_in_dolma(num_addresses: int, reason: str | None) -> None:
    text = " ".join(f"ann{i}@somewhere.org" for i in range(num_addresses))
    rules = PiiDensityRules()
    signals = pl.DataFrame(measured(text))
    broken = [each.rule for each in rules.conditions() if signals.select(each.broken()).item()]
    assert broken == ([] if reason is None else [reason])


def test_density_can_decide_instead() -> None:
    (too_dense,) = PiiDensityRules(max_addresses=None, max_per_1000_chars=10.0).conditions()
    signals = pl.DataFrame(measured("+442079460958 " + "x" * 86, "+442079460958 " + "x" * 85))
    assert signals.select(too_dense.broken()).to_series().to_list() == [False, True]


def test_a_line_of_ten_megabytes_is_searched() -> None:
    text = "212-555-0123 93.184.216.34 ann@somewhere.org :" * 250_000
    found = measured(text)
    assert found["pii_density_num_addresses"] == [750_000]
    assert measured("+1 2" * 2_500_000)["pii_density_num_phones"] == [0]
    assert measured("1" * 10_000_000)["pii_density_num_addresses"] == [0]
