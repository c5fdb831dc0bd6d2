"""Tokens, phrases and training steps are traced back to archived pages; pages forward to their tokens."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from command import Command

from flows.cli import main
from flows.trace import Tracer
from flows.why import Fates
from model.batches import Batches, Rows, TokenStream
from pipeline_lib.tokenizer.model import load_tokenizer
from storage.runs import find_run, save_run
from storage.schemas import DOCUMENTS
from storage.store import Store

SPLITS = ("train", "validation")
CONTEXT, BATCH_TOKENS, STEPS = 64, 512, 6
MODEL = (
    "tokenizer.vocab_size=400", "corpus.validation_ratio=0.2", "tokens.num_shards=3",
    f"training.steps={STEPS}", f"training.context={CONTEXT}", f"training.batch_tokens={BATCH_TOKENS}",
    f"training.micro_batch_tokens={BATCH_TOKENS}", "training.model.preset=test",
    "evaluation.max_bytes=20000", "evaluation.max_new_tokens=8",
)  # fmt: skip

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def store(tiny_crawl: Path, shared_gristmill: Command) -> Store:
    """A store with one run, from crawl to model."""
    settings = [word for each in MODEL for word in ("--set", each)]
    done = shared_gristmill(
        "run", "minicrawl", "--set", f"source.paths={tiny_crawl}", *settings, "--workers", "1", "--runner", "threads"
    )
    assert done.code == 0, done.err
    return Store(str(shared_gristmill.store))


@pytest.fixture(scope="module")
def tracer(store: Store) -> Tracer:
    return Tracer(store, find_run(store, "latest"))


@pytest.fixture(scope="module")
def corpus(tracer: Tracer) -> dict[str, dict[str, Any]]:
    """The documents of the corpus by id, read by another program."""
    folder = Path(tracer.store.full_path(tracer.run.paths["corpus"]))
    return {row["doc_id"]: row for split in SPLITS for row in pl.read_parquet(folder / split / "*.parquet").to_dicts()}


def invoke(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--store", store.url])


def answer(store: Store, *arguments: str) -> dict[str, Any]:
    done = invoke(store, *arguments, "--json")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.mark.parametrize("split", SPLITS)
def test_a_token_is_the_one_that_encoding_its_document_anew_gives_there(tracer, corpus, split):
    with tracer.stages["tokenizer"].local_file("model") as path:
        tokenizer = load_tokenizer(path)
    number = tracer.token_places(split).num_tokens
    for token in [0, number - 1, *random.Random(1).sample(range(number), 40)]:
        traced = tracer.token(token, split, 9)
        document = corpus[traced["document"]["doc_id"]]
        text = document["text"]
        ids = [tokenizer.identity.bos_id, *tokenizer.encode(text), tokenizer.identity.eos_id]
        assert (traced["id"], traced["document_tokens"]) == (ids[traced["position"]], len(ids))
        assert traced["document_first_token"] + traced["position"] == token
        assert len(text[: len(tokenizer.decode(ids[: traced["position"]]))].encode()) == traced["start"]
        assert traced["text"]["marked"] == tokenizer.decode([traced["id"]])
        assert traced["text"]["before"] + traced["text"]["marked"] + traced["text"]["after"] in text
        assert {name: traced["document"][name] for name in ("url", "warc_path", "warc_offset")} == {
            name: document[name] for name in ("url", "warc_path", "warc_offset")
        }


def test_the_bytes_of_the_extracted_text_are_those_that_became_the_token(tracer):
    fates = Fates(tracer.store, tracer.run)
    num_moved = 0
    for token in random.Random(2).sample(range(tracer.token_places("train").num_tokens), 30):
        traced = tracer.token(token, "train", 0)
        fate = fates.of_document(traced["document"]["doc_id"])
        rows = tracer.stages["extract"].read_rows("documents", fate["part"], DOCUMENTS, [fate["part_row"]])
        before = rows["text"][0].as_py().encode()
        taken = before[traced["extracted"]["start"] : traced["extracted"]["end"]].decode()
        masked = any(edit["stage"] == "privacy" for edit in fate["edits"])
        assert masked or taken == traced["text"]["marked"]
        num_moved += traced["extracted"]["start"] != traced["start"]
    assert num_moved > 20  # the first lines of these pages were taken out


def test_the_command_that_is_shown_fetches_the_page_of_the_token(store):
    traced = answer(store, "trace", "latest", "--token", "4321")
    record = subprocess.run(["bash", "-c", traced["document"]["record"]["command"]], capture_output=True, check=True)
    assert record.stdout.startswith(b"WARC/1.")
    assert f"WARC-Target-URI: {traced['document']['url']}\r\n".encode() in record.stdout
    told = invoke(store, "trace", "latest", "--token", "4321").output
    assert traced["document"]["record"]["command"] in told
    assert traced["document"]["url"] in told


def test_a_token_beyond_the_end_is_refused_with_how_many_there_are(store, tracer):
    number = tracer.token_places("validation").num_tokens
    done = invoke(store, "trace", "latest", "--token", str(number), "--split", "validation")
    assert done.exit_code == 2
    assert f"it has {number:,} tokens" in done.output
    assert invoke(store, "trace", "latest", "--token=-1").exit_code == 2
    assert invoke(store, "trace", "latest").exit_code == 2
    assert invoke(store, "trace", "latest", "--token", "1", "--text", "a").exit_code == 2


def test_a_phrase_is_found_with_its_tokens(store, tracer, corpus):
    document = next(row for row in corpus.values() if "\n" in row["text"])
    sentence = document["text"].split(".")[2].strip()
    traced = answer(store, "trace", "latest", "--text", sentence)
    assert not traced["dropped"]
    found = next(each for each in traced["kept"] if each["document"]["doc_id"] == document["doc_id"])
    assert document["text"].encode()[found["start"] : found["end"]].decode() == sentence
    tokens, places = found["tokens"], tracer.token_places(found["document"]["split"])
    ids = [
        int(each.ids[at])
        for each, at in (places.at(tokens["first_token"] + number) for number in range(tokens["num_tokens"]))
    ]
    assert sentence in tracer.tokenizer.decode(ids)
    assert sentence not in tracer.tokenizer.decode(ids[1:])
    assert sentence not in tracer.tokenizer.decode(ids[:-1])
    spaced = answer(
        store, "trace", "latest", "--text", sentence.upper().replace(" ", " \n "), "--any-space", "--ignore-case"
    )
    assert found in spaced["kept"]


def test_occurrences_are_limited_and_said_to_be_more(store):
    few, many = (answer(store, "trace", "latest", "--text", "the", "--limit", number) for number in ("3", "100000"))
    assert (len(few["kept"]), few["is_more"]) == (3, True)
    assert not many["is_more"]
    assert few["kept"] == many["kept"][:3]
    assert {each["document"]["split"] for each in many["kept"]} == set(SPLITS)
    only = answer(store, "trace", "latest", "--text", "the", "--limit", "100000", "--split", "validation")["kept"]
    assert only == [each for each in many["kept"] if each["document"]["split"] == "validation"]


def test_a_phrase_of_dropped_documents_is_told_with_the_rule(store):
    done = invoke(store, "trace", "latest", "--text", "Too short.")
    assert done.exit_code == 1
    assert "not in the corpus" in done.output
    assert "dropped by judge: language.low_score" in done.output
    copies = answer(store, "trace", "latest", "--text", "This is copy 2 of it.")["dropped"]
    assert {each["fate"]["dropped"]["rule"] for each in copies} <= {"near_duplicate"}
    edited = answer(store, "trace", "latest", "--text", "miller@mill-house.org")["dropped"]
    assert {each["fate"]["dropped"] for each in edited} == {None}
    nowhere = invoke(store, "trace", "latest", "--text", "no page says this")
    assert (nowhere.exit_code, "extracted no document with this phrase" in nowhere.output) == (1, True)


def test_a_step_saw_what_training_reads_at_that_step(store, tracer):
    tokens = tracer.stages["tokens"]
    folder = Path(store.full_path(tokens.manifest.address.folder))
    stream = TokenStream.open([folder / record.path for record in tokens.manifest.files("train")])
    rows_per_batch = BATCH_TOKENS // CONTEXT
    batches = Batches(Rows(stream, CONTEXT, "test"), rows_per_batch=rows_per_batch, seed=0)
    for step in (1, STEPS):
        traced = answer(store, "trace", "latest", "--step", str(step))
        places = tracer.token_places("train")
        for row, read in zip(traced["rows"], batches.read(step - 1).tolist(), strict=True):
            ids = []
            for seen in row["seen"]:
                ids += places.of_document(seen["doc_id"]).ids[seen["first"] : seen["end"]].tolist()
                assert traced["documents"][seen["doc_id"]]["url"].startswith("https://site")
            assert ids == read
    assert invoke(store, "trace", "latest", "--step", str(STEPS + 1)).exit_code == 2


def test_a_run_without_shards_says_so_and_still_finds_phrases(store, tracer):
    run = find_run(store, tracer.run.run_id)
    corpus_only = run.stages[: [stage.name for stage in run.stages].index("corpus") + 1]
    run.run_id, run.stages, run.recipe = "corpus-only", corpus_only, {**run.recipe, "goal": "corpus"}
    save_run(store, run)
    try:
        done = invoke(store, "trace", "corpus-only", "--token", "0")
        assert (done.exit_code, "no token shards" in done.output) == (2, True)
        (found, *_) = answer(store, "trace", "corpus-only", "--text", "the")["kept"]
        assert found["tokens"] is None
        run.run_id, run.stages = "extract-only", corpus_only[:2]
        save_run(store, run)
        assert "has no corpus" in invoke(store, "trace", "extract-only", "--text", "the").output
    finally:
        store.remove("runs/corpus-only")
        store.remove("runs/extract-only")


def test_why_says_where_the_tokens_of_a_page_are(store, tracer, corpus):
    document = next(iter(corpus.values()))
    (capture,) = answer(store, "why", document["url"])["captures"]
    tokens = capture["tokens"]
    found, position = tracer.token_places(capture["split"]).at(tokens["first_token"] + tokens["num_tokens"] - 1)
    assert (found.doc_id, position) == (document["doc_id"], tokens["num_tokens"] - 1)
    assert f"{tokens['shard']} row {tokens['row']}" in invoke(store, "why", document["url"]).output


def test_a_fate_is_the_same_by_url_and_by_id(store, tracer):
    fates = Fates(store, tracer.run)
    for number in (3, 5, 6):
        (fate,) = fates.of_url(f"https://site{number % 3}.invalid/{number}.html")
        assert fates.of_document(fate["doc_id"]) == fate
        assert fates.of_document(fate["doc_id"], fate["part"]) == fate
        assert fates.of_document(fate["doc_id"], "part-00003") is None
    assert fates.of_document("0" * 32) is None


def test_why_says_by_how_much_a_page_missed_a_line(store):
    (short,) = answer(store, "why", "site2.invalid/5.html")["captures"]
    dropped = short["dropped"]
    assert (dropped["stage"], dropped["rule"]) == ("judge", "language.low_score")
    assert dropped["margin"] == pytest.approx(dropped["value"] - 0.65)
    words = next(rule for rule in short["rules"] if rule["rule"] == "gopher_quality.too_few_words")
    assert (words["margin"], words["unit"], words["broken"]) == (words["value"] - 50, "words", True)
    (kept,) = answer(store, "why", "site0.invalid/0.html")["captures"]
    assert kept["dropped"] is None
    assert all(rule["margin"] is None or rule["margin"] >= 0 for rule in kept["rules"])
    copies = [answer(store, "why", f"site{number % 3}.invalid/{number}.html")["captures"][0] for number in (4, 34)]
    copy = next(each for each in copies if each["dropped"])
    assert copy["dropped"]["stage"] == "dedup"
    assert copy["dropped"]["value"] >= copy["dropped"]["threshold"]


def test_a_page_that_is_not_there_is_told_with_what_the_run_has_of_its_host(store):
    done = invoke(store, "why", "https://site0.invalid/9999.html")
    assert done.exit_code == 1
    assert "of site0.invalid it has 40 documents" in done.output
    close = answer(store, "why", "https://site0.invalid/99.htm")["absence"]["urls_of_host"]
    assert (len(close), close[0]) == (5, "https://site0.invalid/99.html")
    absence = answer(store, "why", "https://nowhere.invalid/")["absence"]
    assert (absence["documents_of_host"], absence["num_lost"]) == (0, 0)
