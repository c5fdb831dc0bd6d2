"""datatrove's own bad words filter as a process beside ours; how jobs look: `peer_jobs.py`.

    {"documents": "texts.jsonl", "folder": "lists of LDNOOBW", "language": "en"}

Answers `dropped`: whether each text is. The filter downloads its lists; here it gets them from the folder.
"""

from pathlib import Path

import datatrove.pipeline.filters.c4_filters as c4_module
from datatrove.data import Document
from peer_jobs import Job, answer_jobs


def do(job: Job, texts: list[str]) -> dict[str, object]:
    def in_folder(address: str, **where: str) -> str:
        return str(Path(job["folder"]) / address.rpartition("/")[2])

    c4_module.cached_asset_path_or_download = in_folder
    # English has an address of its own, which ends in the language too
    asked = c4_module.C4BadWordsFilter(default_language=job["language"])
    return {"dropped": [asked.filter(Document(text=text, id="")) is not True for text in texts]}


if __name__ == "__main__":
    answer_jobs(do)
