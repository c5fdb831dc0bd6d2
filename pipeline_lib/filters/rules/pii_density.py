"""PII density: how many e-mail addresses, IP addresses and phone numbers a text has.

E-mail and IP addresses are those that the stage `privacy` masks: addresses of somebody, not `email@example.com`,
`192.168.0.1` or the number of a version.

A phone number is a North American one (three, three and four digits with `-`, `.` or a space between them, the first
three perhaps in parentheses, perhaps 1 before; NANP has no area code or exchange that begins with 0 or 1), or an
international one (`+` and 7 to 15 digits, ITU-T E.164, perhaps in groups); neither part of a longer number, word or
URL. Dolma's pattern (`dolma/taggers/pii.py`: three, three and four digits behind whitespace) takes ten digits without
separators too, which are identifiers and times more often than phone numbers, and has no international form.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.addresses import find_emails, find_ipv4, find_ipv6
from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from pipeline_lib.privacy.addresses import CONTEXT_BYTES, email_at, is_public_ipv4, is_public_ipv6

SIGNALS = (
    "pii_density_num_emails",
    "pii_density_num_ips",
    "pii_density_num_phones",
    "pii_density_num_addresses",  # of all three kinds
    "pii_density_per_1000_chars",  # of all three kinds
)

Counts = npt.NDArray[np.int64]

_Span = tuple[int, int, int, int]  # row; start, and end with a minus, in bytes of its text; kind
_EMAIL, _IP = 0, 1

_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 7, 15  # of an international number, with its country code
# Rust's expressions cannot look at what stands before without taking it.
_BEFORE = "[^0-9A-Za-z_.+/=#%&?@-]"
_PHONE = (
    r"(?:\+[1-9][0-9]{0,2}(?:[-. /]?\([0-9]{1,4}\)|[-. /]?[0-9]{1,4}){1,7}"
    r"|(?:1[-. ])?(?:\([2-9][0-9]{2}\)[-. ]?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4})"
)
_GOES_ON = "[-./_=:]?[0-9]"  # behind a number: it is part of a longer one
_CANDIDATE = f"(?:^|{_BEFORE}){_PHONE}(?:{_GOES_ON})?"
_WHOLE = f"^{_BEFORE}?{_PHONE}$"


@dataclass(frozen=True, kw_only=True)
class PiiDensityRules:
    """How many addresses and numbers of people and machines a text may have.

    Defaults: more than five drop a document in Dolma's Common Crawl mix (v1.6; Soldaini et al. 2024, arXiv:2402.00159,
    section 5.3); there the spans are those of its own patterns.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ()

    max_addresses: int | None = 5
    max_per_1000_chars: float | None = None

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "pii_density",
            [
                ("too_many", "pii_density_num_addresses", ">", self.max_addresses),
                ("too_dense", "pii_density_per_1000_chars", ">", self.max_per_1000_chars),
            ],
        )


def measure(texts: Texts, rules: PiiDensityRules) -> Signals:
    emails, ips = _count_addresses(texts)
    phones = _count_phones(texts.column)
    together = emails + ips + phones
    columns = [
        emails.astype(np.float64),
        ips.astype(np.float64),
        phones.astype(np.float64),
        together.astype(np.float64),
        ratio(1000 * together, texts.num_chars),
    ]
    return dict(zip(SIGNALS, columns, strict=True))


def _count_addresses(texts: Texts) -> tuple[Counts, Counts]:
    """E-mail and IP addresses of each text. Of those that overlap only the first counts, of those that begin together
    the longest, as they are masked."""
    counts = {_EMAIL: np.zeros(len(texts), np.int64), _IP: np.zeros(len(texts), np.int64)}
    last_row, last_end = -1, 0
    for row, start, minus_end, kind in sorted([*_emails(texts), *_ips(texts)]):
        if row == last_row and start < last_end:
            last_end = max(last_end, -minus_end)
        else:
            counts[kind][row] += 1
            last_row, last_end = row, -minus_end
    return counts[_EMAIL], counts[_IP]


def _emails(texts: Texts) -> Iterator[_Span]:
    data, offsets = texts.buffers
    for row, start, end in find_emails(data, offsets).tolist():
        span = data[offsets[row] + start : offsets[row] + end].tobytes()
        at = span.index(b"@")
        address = email_at(span[:at], span[at + 1 :])
        if address is not None:
            before, behind = address
            yield row, start + at - before, -(start + at + 1 + behind), _EMAIL


def _ips(texts: Texts) -> Iterator[_Span]:
    # the search for addresses is slower than that for texts that may have some, which are few
    rows, data, offsets = _texts_with(texts, r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
    for k, start, end in find_ipv4(data, offsets).tolist():
        text = offsets[k]
        before = data[text + max(0, start - CONTEXT_BYTES) : text + start].tobytes()
        behind = data[text + end : min(text + end + 2, offsets[k + 1])].tobytes()
        if is_public_ipv4(data[text + start : text + end].tobytes(), before, behind):
            yield int(rows[k]), start, -end, _IP
    rows, data, offsets = _texts_with(texts, r":[0-9A-Fa-f.]*:")
    for k, start, end in find_ipv6(data, offsets).tolist():
        if is_public_ipv6(data[offsets[k] + start : offsets[k] + end].tobytes()):
            yield int(rows[k]), start, -end, _IP


def _texts_with(texts: Texts, pattern: str) -> tuple[Counts, Bytes, Offsets]:
    """The texts in which the pattern occurs: rows, and buffers of those."""
    has_it = pl.Series(texts.column).str.contains(pattern).to_numpy()
    return has_it.nonzero()[0], *string_buffers(texts.column.filter(pa.array(has_it)))


def _count_phones(texts: pa.ChunkedArray) -> Counts:
    found = pl.Series(texts).str.extract_all(_CANDIDATE)
    rows = np.repeat(np.arange(len(texts)), found.list.len().to_numpy())
    candidates = found.explode(empty_as_null=False)
    num_digits = candidates.str.count_matches("[0-9]")
    is_phone = candidates.str.contains(_WHOLE) & num_digits.is_between(_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS)
    return np.bincount(rows[is_phone.to_numpy()], minlength=len(texts))
