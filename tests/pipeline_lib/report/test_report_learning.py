"""The training log, as points, as a picture, and when it is damaged."""

import pytest

from pipeline_lib.report.learning import loss_chart_png, loss_points, read_log
from pipeline_lib.report.quantities import count, duration, share, size, value


def test_a_long_log_is_thinned_to_means_and_keeps_every_validation():
    log = [
        {"step": step, "loss": float(step % 2), "validation_loss": 2.0 if step % 1000 == 0 else None}
        for step in range(1, 5001)
    ]
    points = loss_points(log)

    training = [point for point in points if point["series"] == "training"]
    assert len(training) <= 300
    assert training[-1]["step"] == 5000
    assert all(0.4 < point["loss"] < 0.6 for point in training)
    assert [point["step"] for point in points if point["series"] == "validation"] == [1000, 2000, 3000, 4000, 5000]


def test_the_loss_curve_is_a_picture(made_run):
    with made_run.stages["train"].local_file("log") as path:
        picture = loss_chart_png(read_log(path))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000


def test_lines_of_a_log_that_are_no_entries_are_passed_over(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        b'{"step": 1, "loss": 2.5}\n{"step": 2, "lo\n\xff\xfe\n[1]\n{"loss": 1}\n{"step": 3, "loss": NaN}\n'
    )
    assert [row["step"] for row in read_log(log)] == [1, 3]
    assert loss_points(read_log(log)) == [{"step": 1, "loss": 2.5, "series": "training"}]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(1234567), "1,234,567"),
        (count(None), "\u2013"),
        (size(999), "999 B"),
        (size(999_960), "1.0 MB"),
        (size(15_340_000), "15.3 MB"),
        (size(123_400_000_000_000_000), "123,400 TB"),
        (share(1, 1_000_000), "<0.1 %"),
        (share(999_999, 1_000_000), ">99.9 %"),
        (share(1, 1), "100 %"),
        (share(0, 0), "\u2013"),
        (value(0.30000000000000004), "0.3"),
        (value(100_000.0), "100,000"),
        (value(1234.5678), "1,235"),
        (value(float("nan")), "\u2013"),
        (duration(0.42), "0.4 s"),
        (duration(59.7), "1 min"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
    ],
)
def test_numbers_read_well(shown, expected):
    assert shown == expected
