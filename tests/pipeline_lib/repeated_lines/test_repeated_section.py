"""What the report says of repeated lines."""

from published_stages import document_row

from pipeline_lib.report.composition import edits_table
from pipeline_lib.report.repeated import count_removed, repeated_section, shown_units


def test_the_report_shows_what_was_taken_out_with_addresses_masked(taken_out):
    pages = [
        document_row(
            number, text=f"Page of its own {chr(97 + number) * 9}\n\nWrite to jane.doe@watermill.org\n<b>Menu</b>"
        )
        for number in range(8)
    ]
    pages.append(document_row(8, text="<B>menu</B>"))
    with taken_out({"a": pages[:3], "b": pages[3:]}) as outcome:
        removed = count_removed(outcome.stages["lines"])
        section = repeated_section(removed, shown_units(outcome.stages))
        (row,) = edits_table(outcome.stages).rows
    assert (removed.units, removed.units_removed, removed.documents_edited, removed.documents_dropped) == (25, 16, 8, 1)
    assert removed.bytes_removed == 8 * len("\n\nWrite to jane.doe@watermill.org\n<b>Menu</b>")
    assert "16 of 25 lines were taken out of 8 documents" in section.summary
    assert "1 documents were nothing else" in section.summary
    (table,) = section.blocks
    shown = [[cell.text for cell in each.cells] for each in table.rows]
    assert [each[:2] for each in shown] == [["9", "100 %"], ["8", "88.9 %"]]
    assert "watermill" not in str(shown)
    assert "Write to" in shown[1][3]
    assert [cell.text for cell in row.cells][:4] == ["repeated_line", "lines", "8", "16"]


def test_the_report_says_so_where_nothing_repeats(taken_out):
    with taken_out([document_row(0, text="Alone")]) as outcome:
        section = repeated_section(count_removed(outcome.stages["lines"]), shown_units(outcome.stages))
    assert section.summary == "No line is in too many documents."
    assert section.blocks == []
