"""Dolma's own taggers as a process beside ours; how jobs look: `peer_jobs.py`.

With `"tagger": "gopher"` the answer has `scores`, by name of the attribute one number a document (null: none was
given), and `rounded`, the same as Dolma writes them for its mixer. With `"tagger": "c4_lines"` it has `edited`, the
texts without the spans of lines that end in no mark: what its mixer makes of them.

The package's `__init__` imports all taggers and their libraries, none of which is used here.
"""

from peer_jobs import Job, answer_jobs, without_own_imports

without_own_imports("dolma", "dolma.core", "dolma.taggers")

from dolma.core.data_types import Document  # noqa: E402 (needs the packages above)
from dolma.taggers import c4  # noqa: E402
from dolma.taggers.gopher import GopherTagger  # noqa: E402

# Nothing is asked of these lists here, and they take most of the tagger's time.
c4.NAUGHTY_WORDS = c4.NAUGHTY_PHRASES = set()


def gopher(texts: list[str]) -> dict[str, object]:
    tagger = GopherTagger()
    scores: dict[str, list[float | None]] = {}
    rounded: dict[str, list[float | None]] = {}
    for k, text in enumerate(texts):
        found = tagger.predict(Document(source="", id="", text=text))
        for span in found.spans:
            scores.setdefault(span.type, [None] * len(texts))[k] = span.score
        for name, spans in tagger.group_output(found).items():
            rounded.setdefault(name, [None] * len(texts))[k] = spans[0][2]
    return {"scores": scores, "rounded": rounded}


def c4_lines(texts: list[str]) -> dict[str, object]:
    tagger = c4.C4Tagger()
    edited = []
    for text in texts:
        spans = tagger.predict(Document(source="", id="", text=text)).spans
        left, at = [], 0
        for span in spans:
            if span.type == "lines_with_no_ending_punctuation":
                left.append(text[at : span.start])
                at = span.end
        edited.append("".join([*left, text[at:]]))
    return {"edited": edited}


def do(job: Job, texts: list[str]) -> dict[str, object]:
    return {"gopher": gopher, "c4_lines": c4_lines}[job["tagger"]](texts)


if __name__ == "__main__":
    answer_jobs(do)
