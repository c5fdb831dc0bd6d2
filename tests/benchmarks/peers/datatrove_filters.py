"""datatrove's own filters as a process beside ours: run by the Python of the peers' environment, told what to do on
stdin, one JSON object a line.

    {"documents": "texts.jsonl", "first": 0, "last": 100, "filters": ["gopher_repetition"], "words": "whitespace"}

answers `{"cpu_seconds": 1.2, "reasons": [null, "dup_para_frac", ...]}`. Filters named together are asked one after the
other, as a pipeline does: the first that drops a document gives the reason, as `filter: reason`. With
`"edited": true` the answer holds the texts as the filters left them, too.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import datatrove.pipeline.filters.fineweb_quality_filter as fineweb_module
import datatrove.pipeline.filters.gopher_quality_filter as quality_module
import datatrove.pipeline.filters.gopher_repetition_filter as repetition_module
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

MODULES = (repetition_module, quality_module, fineweb_module)
DEFAULT_WORDS = {module: module.split_into_words for module in MODULES}

FILTERS: dict[str, Callable[[], object]] = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": lambda: C4QualityFilter(filter_no_terminal_punct=False),
    "c4_with_end_marks": lambda: C4QualityFilter(filter_no_terminal_punct=True),
    # the edits alone: no page is dropped
    "c4_lines": lambda: C4QualityFilter(
        filter_no_terminal_punct=False, min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False
    ),
    "c4_lines_with_end_marks": lambda: C4QualityFilter(
        filter_no_terminal_punct=True, min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False
    ),
    "fineweb_quality": FineWebQualityFilter,
}


def main() -> None:
    texts: dict[str, list[str]] = {}
    filters = {name: make() for name, make in FILTERS.items()}
    for line in sys.stdin:
        job = json.loads(line)
        for module in MODULES:
            module.split_into_words = (
                (lambda text, language=None: text.split()) if job["words"] == "whitespace" else DEFAULT_WORDS[module]
            )
        path = job["documents"]
        if path not in texts:
            with Path(path).open(encoding="utf-8") as stream:
                texts[path] = [json.loads(each)["text"] for each in stream]
        documents = [Document(text=text, id="") for text in texts[path][job["first"] : job["last"]]]
        asked = [(name, filters[name]) for name in job["filters"]]
        began = time.process_time()
        reasons = [_first_reason(document, asked) for document in documents]
        answer = {"cpu_seconds": time.process_time() - began, "reasons": reasons}
        if job.get("edited"):
            answer["edited"] = [document.text for document in documents]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _first_reason(document: Document, asked: list[tuple[str, object]]) -> str | None:
    for name, each in asked:
        verdict = each.filter(document)
        if verdict is not True:
            return f"{name}: {verdict[1] if isinstance(verdict, tuple) else 'dropped'}"
    return None


if __name__ == "__main__":
    main()
