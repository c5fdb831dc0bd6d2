"""datatrove's own URL filter as a process beside ours; how jobs look: `peer_jobs.py`.

    {"documents": "urls.jsonl", "field": "url", "lists": {"extra_domains": ["a.txt"], "banned_words": [...], ...}}

Answers `reasons`: why each URL is dropped, or null. Domains are found by the suffixes that tldextract brings along.
"""

from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters.url_filter import URLFilter
from peer_jobs import Job, answer_jobs
from tldextract import TLDExtract


def do(job: Job, urls: list[str]) -> dict[str, object]:
    lists = {
        name: [line for path in paths for line in Path(path).read_text(encoding="utf-8").splitlines()]
        for name, paths in job["lists"].items()
    }
    asked = URLFilter(use_integrated_lists=False, **lists)
    asked.tldextractor = TLDExtract(cache_dir=None, suffix_list_urls=())
    verdicts = [asked.filter(Document(text="", id="", metadata={"url": url})) for url in urls]
    return {"reasons": [None if verdict is True else verdict[1] for verdict in verdicts]}


if __name__ == "__main__":
    answer_jobs(do)
