"""Languages: the answer, its sample, and the same from every thread."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py3langid.langid import visit_counts

from pipeline_lib.extract.language import _count_features, _identifier, identify, sample_text

TEXTS = {
    "en": "The function returns the number of rows that were read, or raises an error if the file is not there.",
    "de": "Die Funktion gibt die Anzahl der gelesenen Zeilen zurück oder meldet einen Fehler, wenn die Datei fehlt.",
    "ru": "Функция возвращает количество прочитанных строк или сообщает об ошибке, если файла нет.",
    "ja": "この関数は読み込んだ行数を返します。ファイルがない場合はエラーになります。",
}


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_tells_its_language(code):
    language = identify(TEXTS[code], 1_500)
    assert language.code == code
    assert 0.5 < language.score <= 1.0


@pytest.mark.parametrize("text", ["", "12 345 — 67,8 %", "== >>> [] {} ()", "\n"])
def test_a_text_without_letters_is_in_no_language(text):
    language = identify(text, 1_500)
    assert (language.code, language.score) == ("und", 0.0)


def test_an_english_notice_at_the_top_does_not_decide_for_a_long_german_page():
    page = TEXTS["en"] * 4 + (TEXTS["de"] + "\n") * 200
    assert identify(page, 1_500).code == "de"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.integers(3, 200))
def test_a_sample_is_bounded_and_made_of_the_text(text, num_bytes):
    sample = sample_text(text, num_bytes)
    if len(text.encode()) <= num_bytes:
        assert sample == text
    else:
        assert len(sample) <= max(3, num_bytes) + 2
        assert sample.startswith(text[:1])
        assert sample.endswith(text[-1:])


def test_probabilities_are_summed_in_double_precision():
    # in single precision, the last digits would depend on the processor, and with them the digest of a corpus
    assert abs(sum(score for _, score in _identifier().rank(TEXTS["en"] + TEXTS["de"])) - 1) < 1e-12


@given(st.text(max_size=200) | st.sampled_from(list(TEXTS.values())))
def test_the_compiled_walk_meets_what_the_library_meets(text):
    identifier = _identifier()
    encoded = text.encode(errors="replace")
    features, counts = _count_features(np.frombuffer(encoded, np.uint8), *identifier._automaton)
    expected = visit_counts(identifier.tk_nextmove, identifier._rowbase, identifier.tk_output, encoded) or {}
    assert dict(zip(features.tolist(), counts.tolist(), strict=True)) == expected
    assert features.tolist() == sorted(expected)


def test_threads_get_the_same_answers():
    texts = list(TEXTS.values()) * 50
    alone = [identify(text, 1_500) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: identify(text, 1_500), texts)) == alone
