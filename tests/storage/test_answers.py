"""Answers are found once, and again where what is kept is damaged or is to another question."""

from pathlib import Path

from storage.answers import answer
from storage.store import Store


def test_an_answer_is_found_once_for_each_question(store) -> None:
    asked = []

    def find(what: str) -> dict[str, str]:
        asked.append(what)
        return {"found": what}

    for _ in range(2):
        assert answer(store, {"asks": "a"}, lambda: find("a")) == {"found": "a"}
        assert answer(store, {"asks": "b"}, lambda: find("b")) == {"found": "b"}
    assert asked == ["a", "b"]


def test_a_damaged_answer_is_found_again(tmp_path) -> None:
    store = Store(str(tmp_path))
    assert answer(store, {"asks": "a"}, lambda: 1) == 1
    (kept,) = (tmp_path / "answers").iterdir()
    whole = kept.read_bytes()
    changed = whole.replace(b'"answer": 1', b'"answer": 7')
    assert changed != whole
    for damaged in (b"", b"[]", b"{}", b"[" * 100_000, whole.replace(b'"asks": "a"', b'"asks": "b"'), changed):
        kept.write_bytes(damaged)
        assert answer(store, {"asks": "a"}, lambda: 2) == 2
        assert answer(store, {"asks": "a"}, lambda: 4) == 2


def test_a_store_that_takes_no_answers_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file where the folder would be")
    assert answer(Store(str(tmp_path)), {"asks": "a"}, lambda: 1) == 1
