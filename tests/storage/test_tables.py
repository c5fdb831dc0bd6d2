"""Tables are written against a schema and refused when they are not what the reader knows."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.schemas import DECISIONS, DUPLICATES, EDITS, NAME_KEY, VERSION_KEY
from storage.tables import DamagedFile, SchemaMismatch, read_row_groups, read_rows, read_table, write_table

ROWS = [{"doc_id": "a", "step": 0, "rule": "r", "start": 0, "end": 1, "replacement": "é"}] * 300


def edits(rows=ROWS):
    return pa.Table.from_pylist(rows, schema=EDITS)


def test_a_table_reads_back_with_its_types(tmp_path):
    write_table(edits(), tmp_path / "a.parquet", EDITS)
    back = read_table(tmp_path / "a.parquet", EDITS)
    assert back.equals(edits())
    assert back.schema.equals(EDITS, check_metadata=True)


def test_some_rows_are_those_of_the_whole_whatever_row_groups_they_are_in(tmp_path):
    rows = [{**ROWS[0], "doc_id": f"{number}", "replacement": "x" * 1000} for number in range(600)]
    table = edits(rows)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=128, store_schema=True)
    for chosen in ([], [0], [599], [127, 128], [500, 3, 3, 260]):
        expected = table.take(pa.array(sorted(set(chosen)), pa.int64()))
        assert read_rows(tmp_path / "a.parquet", EDITS, chosen).equals(expected)
        with (tmp_path / "a.parquet").open("rb") as stream:
            some = read_rows(stream, EDITS, chosen, ["rule", "doc_id"])
        assert some.equals(expected.select(["rule", "doc_id"]))
    with pytest.raises(IndexError, match="of 600"):
        read_rows(tmp_path / "a.parquet", EDITS, [600])


def test_row_groups_one_after_another_are_the_whole(tmp_path):
    table = edits([{**ROWS[0], "doc_id": f"{number}"} for number in range(300)])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=128, store_schema=True)
    pieces = list(read_row_groups(tmp_path / "a.parquet", EDITS, ["end", "doc_id"]))
    assert [piece.num_rows for piece in pieces] == [128, 128, 44]
    assert pa.concat_tables(pieces).equals(table.select(["end", "doc_id"]))


def test_types_that_fit_are_cast(tmp_path):
    narrow = edits().set_column(4, "end", pa.array([1] * len(ROWS), pa.int8()))
    write_table(narrow, tmp_path / "a.parquet", EDITS)
    assert read_table(tmp_path / "a.parquet", EDITS).equals(edits())


def test_equal_tables_give_equal_files(tmp_path):
    write_table(edits(), tmp_path / "a.parquet", EDITS)
    write_table(pa.concat_tables([edits(ROWS[:100]), edits(ROWS[100:])]), tmp_path / "b.parquet", EDITS)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda table: table.drop_columns("rule"),
        lambda table: table.append_column("more", table["rule"]),
        lambda table: table.select(["rule", "doc_id", "step", "start", "end", "replacement"]),
        lambda table: table.set_column(3, "start", pa.array(["x"] * len(ROWS))),
        lambda table: table.set_column(3, "start", pa.array([0.5] * len(ROWS))),
        lambda table: table.set_column(0, "doc_id", pa.array([None] * len(ROWS), pa.string())),
        lambda table: table.set_column(4, "end", pa.nulls(len(ROWS), pa.int64())),
    ],
    ids=["missing", "additional", "order", "text for number", "fraction for integer", "null id", "null number"],
)
def test_a_table_that_is_not_of_the_schema_is_not_written(tmp_path, wrong):
    with pytest.raises(SchemaMismatch):
        write_table(wrong(edits()), tmp_path / "a.parquet", EDITS)
    assert not (tmp_path / "a.parquet").exists()


def test_another_table_is_refused_by_name(tmp_path):
    write_table(edits(), tmp_path / "a.parquet", EDITS)
    with pytest.raises(SchemaMismatch, match="expected table decisions version 1, found edits version 2"):
        read_table(tmp_path / "a.parquet", DECISIONS)


def test_another_version_is_refused_with_what_to_do(tmp_path):
    newer = EDITS.with_metadata({NAME_KEY: b"edits", VERSION_KEY: b"3"})
    write_table(edits(), tmp_path / "a.parquet", newer)
    with pytest.raises(SchemaMismatch, match=r"version 2, found edits version 3.*Delete the stage folder"):
        read_table(tmp_path / "a.parquet", EDITS)


def test_a_file_of_another_program_is_refused(tmp_path):
    pq.write_table(edits().replace_schema_metadata(None), tmp_path / "a.parquet")
    with pytest.raises(SchemaMismatch, match="found unnamed"):
        read_table(tmp_path / "a.parquet", EDITS)


def test_columns_under_the_right_name_and_version_are_checked_too(tmp_path):
    posing = pa.schema(DUPLICATES, metadata=EDITS.metadata)
    write_table(posing.empty_table(), tmp_path / "a.parquet", posing)
    with pytest.raises(SchemaMismatch, match="expected columns"):
        read_table(tmp_path / "a.parquet", EDITS)


def test_a_shortened_file_is_damaged_and_an_absent_one_absent(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(edits(), path, EDITS)
    content = path.read_bytes()
    for length in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFile):
            read_table(path, EDITS)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_table(path, EDITS)


def flip_bits(path, places):
    """The outcome of reading with one bit flipped, for each place."""
    content = path.read_bytes()
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :])
        try:
            yield read_table(path, EDITS)
        except (DamagedFile, SchemaMismatch) as error:
            yield error


def footer_start(path):
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return max(
        min(filter(None, [column.dictionary_page_offset, column.data_page_offset])) + column.total_compressed_size
        for column in columns
    )


def test_a_flipped_bit_in_the_rows_never_gives_other_rows(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(edits(), path, EDITS)
    outcomes = list(flip_bits(path, range(4, footer_start(path), 5)))
    assert all(isinstance(outcome, DamagedFile) or outcome.equals(edits()) for outcome in outcomes)
    assert any(isinstance(outcome, DamagedFile) for outcome in outcomes)


def test_a_flipped_bit_in_the_footer_is_damage_and_no_other_error(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(edits(), path, EDITS)
    list(flip_bits(path, range(footer_start(path), path.stat().st_size)))
