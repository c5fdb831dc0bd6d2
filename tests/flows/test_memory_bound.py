"""A worker that eats its memory in a real run: told by name, tried again alone, nobody else harmed."""

import json
import random
from pathlib import Path

import pytest
import yaml
from command import Command
from run_processes import left_after
from tiny_crawl import english_sentences, paragraphs_of

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1200)]

BOUND = 700_000_000
HUNGRY = """
import time
from pathlib import Path

def embed(texts):
    eaten = bytearray(b"x") * int(Path("hunger").read_text())
    time.sleep(1)
    return [[float(len(text)), 1.0] for text in texts]
"""


@pytest.fixture
def recipe(gristmill: Command) -> Path:
    """Two files of texts, and an embedding function that eats as many bytes as a file beside it says."""
    folder = gristmill.store.parent
    rng = random.Random(1)
    sentences = english_sentences()
    for number in range(2):
        lines = [json.dumps({"text": "\n\n".join(paragraphs_of(rng, sentences))}) for _ in range(5)]
        (folder / f"texts-{number}.jsonl").write_text("\n".join(lines))
    (folder / "hungry.py").write_text(HUNGRY)
    path = folder / "hungry.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "goal": "corpus",
                "source": {"kind": "texts", "texts": [str(folder / "texts-*.jsonl")]},
                "semantic": {"enabled": True, "embedding": "hungry:embed"},
                "resources": {"worker_memory_bytes": BOUND},
            }
        )
    )
    return path


def eat(gristmill: Command, num_bytes: int) -> None:
    (gristmill.store.parent / "hunger").write_text(str(num_bytes))


@pytest.mark.parametrize("runner", ["processes", "dask", "ray"])
def test_a_worker_over_its_memory_ends_the_run_with_a_message_and_the_next_continues(
    gristmill, recipe, runner: str
) -> None:
    command = ("run", str(recipe), "--runner", runner, "--workers", "1")
    eat(gristmill, 2 * BOUND)
    done = gristmill(*command)
    assert done.code == 1, done.err
    assert "stage embeddings, " in done.err
    assert "although it was tried again alone" in done.err
    assert f"where {BOUND:,} are allowed" in done.err
    for remedy in ("resources.worker_memory_bytes", "fewer --workers", "more memory", "smaller parts"):
        assert remedy in done.err
    assert "Traceback" not in done.err
    assert left_after(gristmill.store, seconds=10) == []

    eat(gristmill, 0)
    done = gristmill(*command)
    assert done.code == 0, done.err
    stages = {stage["name"]: stage for stage in gristmill("show", "--json").json()["stages"]}
    assert stages["extract"]["reused"]
    assert not stages["embeddings"]["reused"]


def test_a_part_that_is_too_much_beside_others_is_made_alone(gristmill, recipe) -> None:
    eat(gristmill, BOUND)  # with what a worker is itself, more than one may use, and less than two
    done = gristmill("run", str(recipe), "--workers", "2")
    assert done.code == 0, done.err
