"""The tokenizer stage: a bounded sample that parts do not change, an account, and figures of fit."""

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.tokenizer.model import Tokenizer, identity
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.sample import first_bytes, sample_documents
from pipeline_lib.tokenizer.stage import tokenizer_part
from storage.manifests import Part, PartWriter, StageAddress

PARAMETERS = TokenizerParameters(vocab_size=330, sample_bytes=1 << 20)


def sentence(number):
    return f"the cat number {number} sat on a mat\n\twhile it rained in {number * 7}"


TRAIN = {number: sentence(number) for number in range(120)}
VALIDATION = {number: sentence(number) for number in range(200, 220)}


def halves(texts, cut):
    items = list(texts.items())
    return dict(items[:cut]), dict(items[cut:])


def run(corpus, parameters, key="tokenizer"):
    writer = PartWriter(store=corpus.store, address=StageAddress(stage="tokenizer", key=key), part="all")
    result = tokenizer_part(Part(name="all"), {"corpus": corpus}, writer, parameters)
    return writer.commit(result.account, result.metrics), corpus.store.read_bytes(
        f"stages/tokenizer/{key}/model/tokenizer.model"
    )


def test_parts_do_not_change_the_tokenizer(publish_corpus):
    one = publish_corpus((TRAIN, VALIDATION), key="one")
    first, second = halves(TRAIN, 37)
    three = publish_corpus((second, {}), ({}, VALIDATION), (first, {}), key="three")
    record, model = run(one, PARAMETERS)
    again, same = run(three, PARAMETERS, key="again")
    assert model == same
    assert record.metrics == again.metrics
    assert record.account == again.account


def test_documents_beyond_the_sample_are_accounted_for(publish_corpus):
    corpus = publish_corpus((TRAIN, VALIDATION))
    parameters = dataclasses.replace(PARAMETERS, sample_bytes=3000)
    record, _ = run(corpus, parameters)
    assert record.account.documents_in == len(TRAIN)
    assert record.account.dropped == {"not_sampled": len(TRAIN) - record.account.documents_out}
    longest = max(len(text) for text in TRAIN.values())
    assert 3000 <= record.metrics["sample_bytes"] < 3000 + longest


def test_metrics_say_bytes_per_token_of_unseen_text_by_language_and_host(publish_corpus):
    record, model = run(publish_corpus((TRAIN, VALIDATION)), PARAMETERS)
    tokenizer = Tokenizer(model)
    held_out = record.metrics["bytes_per_token"]["validation"]
    num_bytes = sum(len(text.encode()) for text in VALIDATION.values())
    num_tokens = sum(len(tokenizer.encode(text)) for text in VALIDATION.values())
    assert (held_out["documents"], held_out["bytes"], held_out["tokens"]) == (20, num_bytes, num_tokens)
    assert held_out["bytes_per_token"] == pytest.approx(num_bytes / num_tokens, abs=1e-4)
    assert sorted(held_out["languages"]) == ["de", "en"]
    assert sum(host["tokens"] for host in held_out["hosts"].values()) == num_tokens
    assert record.metrics["tokenizer"] == vars(identity(model))


def test_a_corpus_without_validation_text_has_no_figure_for_it(publish_corpus):
    record, _ = run(publish_corpus((TRAIN, {})), PARAMETERS)
    assert record.metrics["bytes_per_token"]["validation"]["bytes_per_token"] is None


def test_another_seed_samples_other_documents(publish_corpus):
    corpus = publish_corpus((TRAIN, {}))
    samples = [
        set(sample_documents(corpus, "train", max_bytes=2000, seed=seed)["doc_id"].to_pylist()) for seed in (0, 0, 1)
    ]
    assert samples[0] == samples[1] != samples[2]


documents = st.lists(st.tuples(st.integers(0, 9), st.text("ab", max_size=6)), max_size=30)


@given(documents, st.integers(1, 60), st.integers(0, 30))
def test_the_first_bytes_are_those_in_hash_order_and_of_parts_as_of_the_whole(rows, max_bytes, cut):
    rows = [(digest, f"{number:02d}", text) for number, (digest, text) in enumerate(rows)]

    def table(rows):
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        types = [pa.uint64(), pa.string(), pa.large_string()]
        return pa.table(
            {name: pa.array(c, t) for name, c, t in zip(["hash", "doc_id", "text"], columns, types, strict=True)}
        )

    expected, total = [], 0
    for _, doc_id, text in sorted(rows):
        if total < max_bytes:
            expected.append(doc_id)
        total += len(text)
    assert first_bytes(table(rows), max_bytes)["doc_id"].to_pylist() == expected
    in_two_steps = pa.concat_tables([first_bytes(table(rows[:cut]), max_bytes), table(rows[cut:])])
    assert first_bytes(in_two_steps, max_bytes)["doc_id"].to_pylist() == expected


def test_many_small_parts_give_the_sample_of_the_whole(publish_corpus):
    texts = dict(list(TRAIN.items())[:20])
    whole = publish_corpus((texts, {}), key="whole")
    parts = publish_corpus(*[({number: text}, {}) for number, text in texts.items()], key="parts")
    for max_bytes in (1, 150, 700, 1 << 20):
        expected = sample_documents(whole, "train", max_bytes=max_bytes, seed=3)
        found = sample_documents(parts, "train", max_bytes=max_bytes, seed=3)
        assert found["doc_id"].to_pylist() == expected["doc_id"].to_pylist()
        assert pc.sum(pc.binary_length(found["text"])).as_py() >= min(max_bytes, sum(map(len, texts.values())))
