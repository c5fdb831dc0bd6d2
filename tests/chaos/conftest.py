"""A run with every stage there is, which nobody disturbed, and the command on a store of its own."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import command_in
from disturbed_runs import Undisturbed, everything, undisturbed_run
from flow_fixtures import gristmill, prefect_server, shared_gristmill, tiny_crawl
from tiny_crawl import NUM_FILES, PAGES_PER_FILE, english_sentences, paragraphs_of

__all__ = ["gristmill", "prefect_server", "shared_gristmill", "tiny_crawl"]


@pytest.fixture(scope="session")
def arguments(tiny_crawl: Path) -> list[str]:
    """Of a run with every stage there is; an item of its evaluation set is on the tenth page."""
    rng = random.Random(7)
    sentences = english_sentences()
    pages = [paragraphs_of(rng, sentences) for _ in range(NUM_FILES * PAGES_PER_FILE)]
    quiz = tiny_crawl.parent / "quiz.jsonl"
    quiz.write_text(json.dumps({"question": pages[10][0]}) + "\n")
    return everything(tiny_crawl, quiz)


@pytest.fixture(scope="session")
def calm(arguments: list[str], tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Undisturbed]:
    """What every other run must equal."""
    for command in command_in(tmp_path_factory.mktemp("calm")):
        yield undisturbed_run(command, arguments)
