"""The CDX index as files, "ZipNum": sorted lines in gzip members of a few thousand, and `cluster.idx`, a line a member.

`cluster.idx` of a real crawl has some 150 MB and its members 250 GB: both are searched, not read. Source of the layout:
https://github.com/webrecorder/pywb/wiki/CDX-Index-Format (ZipNum Sharded CDX).
"""

import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline_lib.crawl.cdx_lines import file_rows
from pipeline_lib.crawl.index_query import IndexQuery, KeyRange, key_ranges
from pipeline_lib.crawl.index_rows import Answer, IndexUnavailable, choose, no_records
from pipeline_lib.crawl.range_reader import RangeReader, is_missing, joined_url

_PIECE_BYTES = 64 << 10  # of cluster.idx: some 600 lines, and a dozen requests a search
_MAX_LINE_BYTES = 32 << 10  # keys are URLs
_RUN_BYTES = 8 << 20  # of members that stand together and are asked for together
_MAX_MEMBER_BYTES = 256 << 20  # unpacked; real ones have 3000 lines


@dataclass(frozen=True, slots=True)
class Member:
    """One line of `cluster.idx`: the first key of a gzip member, and where the member is."""

    key: str
    file: str
    offset: int
    length: int


def answers_from_zipnum(reader: RangeReader, base_url: str, crawl: str, query: IndexQuery) -> Iterator[Answer]:
    """What the index files of a crawl say to a query, piece by piece.

    Raises:
        IndexUnavailable: there is no `cluster.idx`, or what it names is not there.
        OSError: the index cannot be read.
    """
    folder = joined_url(base_url, f"cc-index/collections/{crawl}/indexes")
    ranges = key_ranges(query.targets())
    members, num_bad = find_members(reader, f"{folder}/cluster.idx", ranges)
    if num_bad:
        yield Answer(records=no_records(), rows=num_bad, dropped=Counter({"bad_cluster_line": num_bad}))
    for run in _runs(members):
        length = run[-1].offset + run[-1].length - run[0].offset
        url = f"{folder}/{run[0].file}"
        try:
            content = reader.read(url, run[0].offset, length)
        except OSError as error:
            if is_missing(error):
                raise IndexUnavailable(f"{url}, which cluster.idx names, is not there: {error}") from error
            raise
        starts = [member.offset - run[0].offset for member in run]
        blocks = [unpacked(content[start : start + member.length]) for start, member in zip(starts, run, strict=True)]
        rows, num_unreadable = file_rows(b"\n".join(lines for lines, _ in blocks), ranges)
        answer = choose(rows, query, num_unreadable)
        num_damaged = sum(not is_whole for _, is_whole in blocks)
        yield replace(
            answer, rows=answer.rows + num_damaged, dropped=answer.dropped + Counter(bad_index_block=num_damaged)
        )


def find_members(
    reader: RangeReader, url: str, ranges: list[KeyRange], piece_bytes: int = _PIECE_BYTES
) -> tuple[list[Member], int]:
    """The members that can hold keys of these ranges (all members, where there is none), each once, in order; and how
    many lines on the way are damaged.

    Args:
        url: of a `cluster.idx`. Where its size is known, only pieces of it are read: a dozen a range.
        piece_bytes: how much is read at once.

    Raises:
        IndexUnavailable: there is no such file.
        OSError: it cannot be read.
    """
    try:
        num_bytes = reader.describe(url)[0]
        is_searched = num_bytes >= 0 and bool(ranges)
        lines = _SearchedLines(reader, url, num_bytes, piece_bytes) if is_searched else _WholeLines(reader.read(url))
    except OSError as error:
        if is_missing(error):
            raise IndexUnavailable(
                f"the crawl has no index at {url}; check source.crawl and base_url (of Common Crawl: "
                "https://data.commoncrawl.org); `gristmill crawls` lists its crawls"
            ) from error
        raise
    found: dict[tuple[str, int], Member] = {}
    bad: set[int] = set()
    everything: list[KeyRange | None] = [None]
    for wanted in ranges or everything:
        key = b"" if wanted is None else wanted.start.encode()
        for place, line in _from_before(lines.near(key), key):
            member = _member(line)
            if member is None:
                bad.add(place)
            elif wanted is not None and member.key >= wanted.end:
                break
            else:
                found[member.file, member.offset] = member
    return list(found.values()), len(bad)


def unpacked(packed: bytes) -> tuple[bytes, bool]:
    """The content of gzip members, and whether it is whole: of a damaged one as many whole lines as can be had."""
    content = b""
    if not packed:
        return content, False
    while packed:
        inflater = zlib.decompressobj(wbits=31)
        try:
            content += inflater.decompress(packed, max(1, _MAX_MEMBER_BYTES - len(content)))
        except zlib.error:
            return _whole_lines(content + _salvaged(packed)), False
        if not inflater.eof:
            return _whole_lines(content), False
        packed = inflater.unused_data
    return content, True


class _SearchedLines:
    """The lines of a file of sorted lines that is read where a search looks, piece by piece, each piece once."""

    def __init__(self, reader: RangeReader, url: str, num_bytes: int, piece_bytes: int) -> None:
        self._reader = reader
        self._url = url
        self._num_bytes = num_bytes
        self._piece_bytes = piece_bytes
        self._pieces: dict[int, bytes] = {}

    def near(self, key: bytes) -> Iterator[tuple[int, bytes]]:
        """Places and lines from one with a smaller key on, where there is one, not far before the first that is not."""
        low, high = 0, -(-self._num_bytes // self._piece_bytes)
        while high - low > 1:  # in [low, high) is the last piece whose first line is smaller
            middle = (low + high) // 2
            first = next(self._lines(middle), None)
            if first is not None and _key(first[1]) < key:
                low = middle
            else:
                high = middle
        return self._lines(low)

    def _lines(self, piece: int) -> Iterator[tuple[int, bytes]]:
        """The lines from a piece on; of any but the first piece from behind the first line end in it: what begins
        exactly with a piece is found from the piece before."""
        place = piece * self._piece_bytes
        content = self._piece(piece)
        skips = piece > 0
        while True:
            *lines, content = content.split(b"\n")
            for line in lines:
                if not skips:
                    yield place, line
                skips = False
                place += len(line) + 1
            piece += 1
            if piece * self._piece_bytes >= self._num_bytes:
                break
            if len(content) > _MAX_LINE_BYTES:
                raise IndexUnavailable(f"{self._url}: no line ends in {len(content)} bytes: it is no cluster.idx")
            content += self._piece(piece)
        if content and not skips:
            yield place, content

    def _piece(self, number: int) -> bytes:
        start = number * self._piece_bytes
        if number not in self._pieces and start < self._num_bytes:
            self._pieces[number] = self._reader.read(self._url, start, min(self._piece_bytes, self._num_bytes - start))
        return self._pieces.get(number, b"")


class _WholeLines:
    """The lines of a file of sorted lines in memory; the place of a line is its number."""

    def __init__(self, content: bytes) -> None:
        self._lines = [line for line in content.split(b"\n") if line]
        self._keys = [_key(line) for line in self._lines]

    def near(self, key: bytes) -> Iterator[tuple[int, bytes]]:
        """As of lines that are searched."""
        first = max(0, bisect_left(self._keys, key) - 1)
        return ((place, self._lines[place]) for place in range(first, len(self._lines)))


def _from_before(lines: Iterator[tuple[int, bytes]], key: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines from the last one with a smaller key on."""
    before = None
    for item in lines:
        if _key(item[1]) < key:
            before = item
            continue
        if before is not None:
            yield before
        yield item
        yield from lines
        return
    if before is not None:
        yield before


def _key(line: bytes) -> bytes:
    return line.partition(b" ")[0]


def _member(line: bytes) -> Member | None:
    """`key timestamp TAB file TAB offset TAB length TAB number`."""
    fields = line.rstrip(b"\r\n").split(b"\t")
    if len(fields) < 4:
        return None
    key, file, offset, length = fields[:4]
    if not (offset.isdigit() and length.isdigit() and 0 < int(length) <= _MAX_MEMBER_BYTES and int(offset) < 1 << 50):
        return None
    try:
        name = file.decode()
    except UnicodeDecodeError:
        return None
    if not name or "/" in name or "\\" in name or name.startswith("."):
        return None
    return Member(_key(key).decode(errors="replace"), name, int(offset), int(length))


def _runs(members: list[Member]) -> Iterator[list[Member]]:
    """Members that stand one behind the other in a file, as far as one request should reach."""
    run: list[Member] = []
    for member in members:
        if run and not (
            member.file == run[-1].file
            and member.offset == run[-1].offset + run[-1].length
            and member.offset + member.length - run[0].offset <= _RUN_BYTES
        ):
            yield run
            run = []
        run.append(member)
    if run:
        yield run


def _salvaged(packed: bytes) -> bytes:
    """What comes out of a damaged member before the damage."""
    inflater = zlib.decompressobj(wbits=31)
    content = b""
    try:
        for start in range(0, len(packed), 256):
            content += inflater.decompress(packed[start : start + 256], _MAX_MEMBER_BYTES)
    except zlib.error:
        pass
    return content


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
