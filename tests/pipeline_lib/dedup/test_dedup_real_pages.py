"""Real pages and damaged copies of them, against the similarity of all pairs by brute force."""

import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from pipeline_lib.dedup.parameters import DedupParameters

CRAWL = Path(__file__).parents[4] / "shared" / "data" / "minicc" / "crawl-data" / "CC-MAIN-2026-00"
NUM_PAGES = 100


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Pages of a hundred words and more; in ASCII, for which the oracle below knows what a word is."""
    files = sorted(CRAWL.glob("**/*.warc.gz"))
    if not files:
        pytest.skip("needs ../shared/data: the WARC files of the mini crawl")
    found = []
    for file in files:
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                html = bytes_to_str(body, detect_encoding(body))
                text = extract_plain_text(html, main_content=True, alt_texts=False)
                text = text.encode("ascii", "ignore").decode()
                if len(shingles(text)) > 100:
                    found.append(text)
                if len(found) == NUM_PAGES:
                    return found
    return found


def damaged(text: str, ratio: float, rng: random.Random) -> str:
    return " ".join(word if rng.random() > ratio else "damage" for word in text.split())


def shingles(text: str) -> set[tuple[str, ...]]:
    digits = "".join("0" if character.isdigit() else character.lower() for character in text)
    while "00" in digits:
        digits = digits.replace("00", "0")
    words = "".join(character if character.isalnum() else " " for character in digits).split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_what_is_removed_resembles_what_is_kept_and_few_pairs_are_left(run_dedup, page, texts):
    rng = random.Random(1)
    every = [copy for text in texts for copy in (text, *(damaged(text, ratio, rng) for ratio in (0.005, 0.02, 0.1)))]
    documents = [page(number=number, text=text) for number, text in enumerate(every)]
    rng.shuffle(documents)
    with run_dedup({"part-0": documents[::2], "part-1": documents[1::2]}) as outcome:
        removed = outcome.duplicates
    sets = {document.doc_id: shingles(document.text) for document in documents}

    near = [row for row in removed.values() if row["rule"] == "near_duplicate"]
    assert len(near) > NUM_PAGES
    for row in near:
        one, other = sets[row["doc_id"]], sets[row["kept_id"]]
        assert row["kept_id"] not in removed
        assert row["similarity"] == len(one & other) / len(one | other) >= 0.8

    holders = defaultdict(list)
    for document in documents:
        if document.doc_id not in removed:
            for shingle in sets[document.doc_id]:
                holders[shingle].append(document.doc_id)
    common = Counter(
        (one, other) for holding in holders.values() for i, one in enumerate(holding) for other in holding[i + 1 :]
    )
    alike = (
        len_shared / (len(sets[one]) + len(sets[other]) - len_shared) for (one, other), len_shared in common.items()
    )
    # the bands miss 7.6 % of pairs at 0.8, 1.2 % at 0.85
    assert sum(each >= DedupParameters().threshold for each in alike) <= 0.03 * len(near)
