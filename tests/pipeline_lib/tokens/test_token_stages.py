"""From corpus to shards: every document once, whole, in an order that only the seed decides."""

import itertools

import pyarrow as pa
import pytest

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from pipeline_lib.tokens.parameters import EncodeParameters, TokenParameters
from pipeline_lib.tokens.shuffle import shuffle_hashes
from pipeline_lib.tokens.stage import encode_part, token_parts, tokens_part
from storage.manifests import Part
from storage.schemas import document_id
from storage.token_shards import TokenizerMismatch, open_token_shard

TRAIN = {document_id("a.warc.gz", number): f"the cat {number} sat\non a mat é" * (number % 4) for number in range(60)}
VALIDATION = {document_id("b.warc.gz", number): f"it rained in {number}" for number in range(9)}


def split_into(texts, num_parts):
    items = list(texts.items())
    return [dict(items[part::num_parts]) for part in range(num_parts)]


@pytest.fixture
def make_shards(publish, publish_corpus, publish_tokenizer, model):
    """Encode a corpus cut into so many parts, and make its shards."""

    def make(parameters, num_parts=3, key="key", encoding=None):
        parts = zip(split_into(TRAIN, num_parts), split_into(VALIDATION, num_parts), strict=True)
        corpus = publish_corpus(*parts, key=key)
        inputs = {"corpus": corpus, "tokenizer": publish_tokenizer(model, key=key)}
        encode = publish(
            "encode",
            [Part(name=name) for name in corpus.part_names],
            lambda part, output: encode_part(part, inputs, output, encoding or parameters.encoding),
            key,
        )
        return publish(
            "tokens",
            token_parts(parameters),
            lambda part, output: tokens_part(part, {"encode": encode}, output, parameters),
            key,
        )

    return make


def rows(shards, split):
    """(doc_id, num_bytes, tokens) of all shards of a split, in order."""
    found = []
    for record in shards.manifest.files(split):
        with shards.local_file(split, record.part) as path:
            found += open_token_shard(path).to_pylist()
    return [(row["doc_id"], row["num_bytes"], row["tokens"]) for row in found]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_document_is_there_once_and_reads_back(make_shards, model, split):
    texts = {"train": TRAIN, "validation": VALIDATION}[split]
    tokenizer = Tokenizer(model)
    shards = make_shards(TokenParameters(num_shards=4, num_validation_shards=2))
    found = rows(shards, split)
    assert sorted(doc_id for doc_id, _, _ in found) == sorted(texts)
    for doc_id, num_bytes, tokens in found:
        assert (tokens[0], tokens[-1]) == (tokenizer.identity.bos_id, tokenizer.identity.eos_id)
        assert tokenizer.decode(tokens) == texts[doc_id]
        assert num_bytes == len(texts[doc_id].encode())


def test_the_order_is_that_of_the_seed_and_neither_of_parts_nor_of_shards(make_shards):
    expected = rows(make_shards(TokenParameters(num_shards=1), num_parts=1, key="plain"), "train")
    hashes = shuffle_hashes(pa.array([doc_id for doc_id, _, _ in expected]), seed=0)
    assert all(first < second for first, second in itertools.pairwise(hashes.tolist()))
    for num_parts, num_shards in [(1, 3), (2, 1), (5, 4), (2, 40)]:
        key = f"{num_parts}-{num_shards}"
        assert rows(make_shards(TokenParameters(num_shards=num_shards), num_parts, key), "train") == expected
    other = rows(make_shards(TokenParameters(seed=1), key="other-seed"), "train")
    assert other != expected
    assert sorted(other) == sorted(expected)


def test_equal_corpora_give_equal_files(make_shards):
    parameters = TokenParameters(num_shards=3)
    first = make_shards(parameters, num_parts=2, key="first")
    second = make_shards(parameters, num_parts=5, key="second")
    assert [record.sha256 for record in first.manifest.files()] == [record.sha256 for record in second.manifest.files()]


def test_documents_tokens_and_bytes_are_accounted_for(make_shards):
    shards = make_shards(TokenParameters(num_shards=3, num_validation_shards=2))
    assert shards.manifest.account.documents_in == len(TRAIN) + len(VALIDATION)
    for split, texts in [("train", TRAIN), ("validation", VALIDATION)]:
        parts = [part.metrics for part in shards.manifest.parts if part.metrics["split"] == split]
        assert sum(part["tokens"] for part in parts) == sum(len(tokens) for _, _, tokens in rows(shards, split))
        assert sum(part["bytes"] for part in parts) == sum(len(text.encode()) for text in texts.values())
        assert {part["dtype"] for part in parts} == {"uint16"}


def test_no_documents_give_files_without_rows(publish, publish_corpus, publish_tokenizer, model):
    inputs = {"corpus": publish_corpus(({}, {})), "tokenizer": publish_tokenizer(model)}
    parts = [Part(name="part-00000")]
    encode = publish("encode", parts, lambda part, output: encode_part(part, inputs, output, EncodeParameters()))
    parameters = TokenParameters(num_shards=2)
    shards = publish(
        "tokens",
        token_parts(parameters),
        lambda part, output: tokens_part(part, {"encode": encode}, output, parameters),
    )
    assert rows(shards, "train") == rows(shards, "validation") == []
    assert [part.metrics["tokens"] for part in shards.manifest.parts] == [0, 0, 0]


def test_parts_of_different_tokenizers_are_refused_and_nothing_is_written(
    publish, publish_corpus, publish_tokenizer, model
):
    other = train_model(["of the people by the people for the people"] * 9, TokenizerParameters(vocab_size=300))
    corpus = publish_corpus(*[(half, {}) for half in split_into(TRAIN, 2)])
    tokenizers = dict(
        zip(corpus.part_names, [publish_tokenizer(model), publish_tokenizer(other, "other")], strict=True)
    )

    def work(part, output):
        inputs = {"corpus": corpus, "tokenizer": tokenizers[part.name]}
        return encode_part(part, inputs, output, EncodeParameters())

    encode = publish("encode", [Part(name=name) for name in corpus.part_names], work)
    with pytest.raises(TokenizerMismatch, match="tokenize again"):
        publish(
            "tokens",
            token_parts(TokenParameters()),
            lambda part, output: tokens_part(part, {"encode": encode}, output, TokenParameters()),
        )
    assert encode.store.names("stages/tokens") == []


def test_parts_encoded_for_another_seed_are_refused(make_shards):
    with pytest.raises(ValueError, match="order of seed 0, expected 1"):
        make_shards(TokenParameters(seed=1, num_shards=1), encoding=EncodeParameters(seed=0))


def test_impossible_numbers_of_shards_are_refused():
    with pytest.raises(ValueError, match="num_shards=0"):
        TokenParameters(num_shards=0)
    with pytest.raises(ValueError, match="num_validation_shards=-1"):
        TokenParameters(num_validation_shards=-1)
