"""Every token of every shard leads to the document whose own encoding has it there, and back."""

import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_stages import corpus_row, publish_splits, publish_stage

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokens.parameters import TokenParameters
from pipeline_lib.tokens.places import NoSuchToken, TokenPlaces
from pipeline_lib.tokens.spans import token_spans
from pipeline_lib.tokens.stage import encode_part, token_parts, tokens_part
from storage.accounts import Account
from storage.manifests import Part, PartResult
from storage.schemas import document_id
from storage.store import Store
from storage.tables import DamagedFile
from storage.token_shards import TokenizerMismatch

SPLITS = ("train", "validation")
# U+2581 is spelled as a space; the others have pieces, or none and are spelled byte by byte
texts = st.text(st.sampled_from("the cat\n\t é€\u2581😀7"), max_size=30)
corpora = st.lists(st.tuples(st.lists(texts, max_size=4), st.lists(texts, max_size=3)), min_size=1, max_size=3)


def make_shards(model, corpus, parameters, store=None):
    """Corpus `(train, validation)` by part, through the stages encode and tokens; and the texts by id."""
    store = store or Store(f"memory://{secrets.token_hex(6)}")
    numbers = iter(range(1000))
    parts = [
        tuple([corpus_row(doc_id=document_id("a", next(numbers)), text=text) for text in split] for split in part)
        for part in corpus
    ]
    published = publish_splits(store, parts)

    def write_model(part, output):
        with output.file("model", "tokenizer.model") as path:
            path.write_bytes(model)
        return PartResult(account=Account(documents_in=0, documents_out=0))

    inputs = {"corpus": published, "tokenizer": publish_stage(store, "tokenizer", [Part(name="all")], write_model)}
    encode = publish_stage(
        store,
        "encode",
        [Part(name=name) for name in published.part_names],
        lambda part, output: encode_part(part, inputs, output, parameters.encoding),
    )
    shards = publish_stage(
        store,
        "tokens",
        token_parts(parameters),
        lambda part, output: tokens_part(part, {"encode": encode}, output, parameters),
        parameters=vars(parameters),
    )
    rows = {
        split: {row["doc_id"]: row["text"] for part in parts for row in part[number]}
        for number, split in enumerate(SPLITS)
    }
    return shards, rows


@settings(max_examples=25)
@given(corpora, st.integers(1, 5), st.integers(0, 9))
def test_every_token_of_every_shard_leads_to_its_document_and_back(model, corpus, num_shards, seed):
    tokenizer = Tokenizer(model)
    parameters = TokenParameters(num_shards=num_shards, num_validation_shards=2, seed=seed)
    shards, rows = make_shards(model, corpus, parameters)
    for split in SPLITS:
        places = TokenPlaces(shards, split, tokenizer.identity)
        own = {
            doc_id: [tokenizer.identity.bos_id, *tokenizer.encode(text), tokenizer.identity.eos_id]
            for doc_id, text in rows[split].items()
        }
        assert places.num_tokens == sum(map(len, own.values()))
        seen = {}
        for token in range(places.num_tokens):
            document, position = places.at(token)
            assert document.ids[position] == own[document.doc_id][position]
            assert document.first + position == token
            seen.setdefault(document.doc_id, []).append(position)
        assert seen == {doc_id: list(range(len(ids))) for doc_id, ids in own.items()}
        for doc_id, ids in own.items():
            document = places.of_document(doc_id)
            assert document.ids.tolist() == ids
            assert places.at(document.first)[0].row == document.row
        assert places.of_document(document_id("b", 0)) is None
        for beyond in (-1, places.num_tokens):
            with pytest.raises(NoSuchToken, match=f"has {places.num_tokens:,} tokens"):
                places.at(beyond)


@given(texts)
def test_the_bytes_of_the_tokens_are_the_text_piece_by_piece(model, text):
    tokenizer = Tokenizer(model)
    ids = tokenizer.encode(text)
    spans = token_spans(tokenizer, [tokenizer.identity.bos_id, *ids, tokenizer.identity.eos_id], text.encode())
    assert spans[0].tolist() == [0, 0]
    assert spans[-1].tolist() == [len(text.encode())] * 2
    assert np.array_equal(spans[1:, 0], spans[:-1, 1])
    for token, (start, end) in zip(ids, spans[1:-1].tolist(), strict=True):
        piece = text.encode()[start:end].replace("\u2581".encode(), b" ")
        expected = bytes([int(tokenizer.pieces[token][3:5], 16)]) if tokenizer.is_byte[token] else None
        assert piece == (expected or tokenizer.pieces[token].replace("\u2581", " ").encode())


def test_tokens_of_another_text_have_no_bytes_in_this(model):
    tokenizer = Tokenizer(model)
    with pytest.raises(DamagedFile, match="another text"):
        token_spans(tokenizer, tokenizer.encode("the cat sat"), b"the cat")


@pytest.fixture(scope="module")
def long_shards(model):
    return make_shards(model, [(["the cat sat"] * 9, ["on a mat"])], TokenParameters(num_shards=3))[0]


def test_a_stretch_of_the_stream_is_told_document_by_document(model, long_shards):
    places = TokenPlaces(long_shards, "train", Tokenizer(model).identity)
    stream = [int(document.ids[at]) for document, at in map(places.at, range(places.num_tokens))]
    for start, stop in [(0, places.num_tokens), (3, 4), (5, 23), (7, 7)]:
        pieces = list(places.between(start, stop))
        assert [int(token) for document, first, end in pieces for token in document.ids[first:end]] == stream[
            start:stop
        ]
        assert len({document.doc_id for document, _, _ in pieces}) == len(pieces)


def test_shards_of_another_tokenizer_are_refused(model, long_shards):
    other = Tokenizer(model).identity
    other = type(other)(**{**vars(other), "digest": "0" * 64})
    with pytest.raises(TokenizerMismatch, match="was encoded with tokenizer"):
        TokenPlaces(long_shards, "train", other).at(0)
