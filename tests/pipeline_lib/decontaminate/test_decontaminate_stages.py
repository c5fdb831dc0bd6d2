"""The stages, one after another, on published documents: from evaluation files to token shards and the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.decontaminate.evaluation_files import find_sets
from pipeline_lib.decontaminate.figures import contamination_metrics
from pipeline_lib.decontaminate.parameters import CommonParameters, DecontaminationParameters, EvaluationSet
from pipeline_lib.decontaminate.shard_stage import Contaminated, contamination_part
from pipeline_lib.decontaminate.stage import (
    common_part,
    decontaminate_part,
    evaluation_items_identity,
    evaluation_items_part,
    items_part,
    overlaps_part,
)
from pipeline_lib.report.contamination import contamination_section, find_contamination
from pipeline_lib.survivors import read_survivors, trail_of
from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from pipeline_lib.tokens.encoding import encode_documents
from storage.accounts import Account
from storage.manifests import Part, PartResult, PublishedStage
from storage.schemas import (
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    EDITS,
    EVALUATION_HITS,
    EVALUATION_ITEMS,
    EVALUATION_MATCHES,
)
from storage.store import Store
from storage.token_shards import write_token_shard

QUESTIONS = [
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many?",
    "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts in total does it take?",
    "Which of these is the largest city of the southern half of the continent, going by its number of people?",
]
START = " ".join(QUESTIONS[1].split()[:14])  # two of the 13-grams of the second
PAGE = "The baker's shop opens at seven, and by eight most of the bread has gone to people around the corner."
CUT = "Advertisement: "
PARTS: dict[str, dict[int, str]] = {
    "part-00000": {
        0: PAGE,
        1: f"{CUT}{PAGE} Write to jane@acme.com: {QUESTIONS[0].upper()} {PAGE}",
        2: f"{CUT}{START}, they say.",
        3: QUESTIONS[0],  # dropped by the judge
    },
    "part-00001": {10: PAGE, 11: f"{START}. {PAGE}", 12: QUESTIONS[2], 13: START},  # 13 is a duplicate
}
PARAMETERS = DecontaminationParameters(evaluation_sets=(EvaluationSet(paths=("quiz.jsonl",), name="quiz"),))

Stages = dict[str, PublishedStage]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def quiz(tmp_path: Path) -> EvaluationSet:
    rows = [*({"q": text, "id": f"q{number}"} for number, text in enumerate(QUESTIONS)), {"q": "too short", "id": "x"}]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return EvaluationSet(paths=(str(tmp_path / "quiz.jsonl"),))


def publish_documents(store: Store) -> Stages:
    def published(
        stage: str, table: str, schema: pa.Schema, rows: Mapping[str, list[dict[str, Any]]]
    ) -> PublishedStage:
        tables = {part: {table: (pa.Table.from_pylist(rows.get(part, []), schema=schema), schema)} for part in PARTS}
        return publish_tables(store, stage, tables)

    documents = {
        part: [document_row(number, text=text) for number, text in texts.items()] for part, texts in PARTS.items()
    }
    cuts = [
        {"doc_id": doc_id(number), "step": 0, "rule": "cut", "start": 0, "end": len(CUT), "replacement": ""}
        for number in (1, 2)
    ]
    copy = {"doc_id": doc_id(13), "rule": "near_duplicate", "kept_id": doc_id(11), "similarity": 0.9, "threshold": 0.8}
    copy = {
        name: copy.get(name, 0 if pa.types.is_integer(DUPLICATES.field(name).type) else "") for name in DUPLICATES.names
    }
    return {
        "extract": published("extract", "documents", DOCUMENTS, documents),
        "signals": published("signals", "edits", EDITS, {"part-00000": cuts}),
        "judge": published("judge", "decisions", DECISIONS, {"part-00000": [{"doc_id": doc_id(3), "rule": "by hand"}]}),
        "dedup": published("dedup", "duplicates", DUPLICATES, {"part-00001": [copy]}),
    }


def decontaminated(store: Store, quiz: EvaluationSet, parameters: DecontaminationParameters, key: str = "k") -> Stages:
    stages = publish_documents(store)
    parts = [Part(name=name) for name in PARTS]
    found = find_sets([quiz])
    stages["evaluation-items"] = publish_stage(
        store, "evaluation-items", [evaluation_items_part(found)],
        lambda part, output: items_part(part, {}, output, parameters.ngrams()), key,
    )  # fmt: skip
    stages["overlaps"] = publish_stage(
        store, "overlaps", parts, lambda part, output: overlaps_part(part, stages, output, None), key
    )
    if parameters.ignore_common is not None:
        common = CommonParameters(ignore_common=parameters.ignore_common)
        stages["common-ngrams"] = publish_stage(
            store, "common-ngrams", [Part(name="all")],
            lambda part, output: common_part(part, stages, output, common), key,
        )  # fmt: skip
    verdict = parameters.verdict()
    before = dict(stages)
    stages["decontaminate"] = publish_stage(
        store, "decontaminate", parts, lambda part, output: decontaminate_part(part, before, output, verdict), key,
        vars(verdict),
    )  # fmt: skip
    return stages


def matches_of(stages: Stages) -> list[tuple[str, str, int, int]]:
    return [
        (row["doc_id"], row["item"], row["matched"], row["of"])
        for part in PARTS
        for row in stages["decontaminate"].read("matches", part, EVALUATION_MATCHES).to_pylist()
    ]


def test_documents_that_hold_an_item_are_dropped_and_partial_matches_told(store: Store, quiz: EvaluationSet) -> None:
    stages = decontaminated(store, quiz, PARAMETERS)
    account = stages["decontaminate"].manifest.account
    assert (account.documents_in, account.documents_out, account.dropped) == (6, 4, {"contaminated": 2})
    assert stages["evaluation-items"].manifest.account.dropped == {"too_short": 1}
    assert matches_of(stages) == [
        (doc_id(1), "q0", 10, 10),
        (doc_id(2), "q1", 2, 10),
        (doc_id(11), "q1", 2, 10),
        (doc_id(12), "q2", 8, 8),
    ]
    (decision,) = stages["decontaminate"].read("decisions", "part-00000", DECISIONS).to_pylist()
    assert (decision["doc_id"], decision["value"], decision["threshold"]) == (doc_id(1), 1.0, 0.5)
    assert decision["evidence"].startswith("quiz:q0 (q) NATALIA SOLD CLIPS TO 48 OF HER FRIENDS")
    left = [
        number for part in PARTS for number in read_survivors(trail_of(stages), part, ["doc_id"])["doc_id"].to_pylist()
    ]
    assert left == [doc_id(0), doc_id(2), doc_id(10), doc_id(11)]
    # positions are in the text as the edits before left it
    match = stages["decontaminate"].read("matches", "part-00000", EVALUATION_MATCHES).to_pylist()[0]
    edited = PARTS["part-00000"][1].removeprefix(CUT)
    assert edited[match["start"] : match["end"]] == QUESTIONS[0].upper().removesuffix("?")


def test_reported_documents_stay(store: Store, quiz: EvaluationSet) -> None:
    stages = decontaminated(store, quiz, DecontaminationParameters(action="report"))
    assert stages["decontaminate"].manifest.account.dropped == {}
    assert len(read_survivors(trail_of(stages), "part-00001", ["doc_id"])) == 3
    metrics = contamination_metrics(stages["evaluation-items"], stages["decontaminate"])
    assert metrics["contaminated_documents"] == 2
    assert metrics["evaluation_items_found"] == 2


def test_common_ngrams_are_counted_over_all_parts(store: Store, quiz: EvaluationSet) -> None:
    stages = decontaminated(store, quiz, DecontaminationParameters(ignore_common=1, threshold=0.1))
    # the beginning of the second question is in two documents, one a part; without it nothing of that question is left
    assert stages["common-ngrams"].manifest.account.dropped == {"common": 2}
    assert [item for _, item, _, _ in matches_of(stages)] == ["q0", "q2"]


def test_run_metrics_count_items_and_documents_over_all_parts(store: Store, quiz: EvaluationSet) -> None:
    stages = decontaminated(store, quiz, PARAMETERS)
    metrics = contamination_metrics(stages["evaluation-items"], stages["decontaminate"])
    assert metrics == {
        "contaminated_documents": 2,
        "evaluation_items_found": 2,
        "contamination": {
            "quiz": {
                "items": 4,
                "items_compared": 3,
                "items_with_a_match": 3,
                "items_held": 2,
                "documents_with_a_match": 4,
                "documents_contaminated": 2,
            }
        },
    }


def test_a_part_without_any_match_has_empty_tables(store: Store, quiz: EvaluationSet, monkeypatch: Any) -> None:
    monkeypatch.setitem(PARTS, "part-00001", {10: PAGE, 13: ""})
    stages = decontaminated(store, quiz, PARAMETERS)
    assert stages["overlaps"].read("hits", "part-00001", EVALUATION_HITS).num_rows == 0
    assert stages["decontaminate"].read("matches", "part-00001", EVALUATION_MATCHES).num_rows == 0


def test_the_identity_of_items_is_their_content_and_not_their_place(tmp_path: Path, quiz: EvaluationSet) -> None:
    found = find_sets([quiz])
    copy = tmp_path / "elsewhere" / "quiz.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(Path(quiz.paths[0]).read_bytes())
    (moved,) = find_sets([EvaluationSet(paths=(str(copy),))])
    assert evaluation_items_identity([moved]) == evaluation_items_identity(found)
    copy.write_bytes(copy.read_bytes() + b'{"q": "another one"}\n')
    assert evaluation_items_identity(find_sets([EvaluationSet(paths=(str(copy),))])) != evaluation_items_identity(found)


@pytest.fixture(scope="module")
def tokenizer_model() -> bytes:
    return train_model(
        [f"{PAGE} {number} {' '.join(QUESTIONS)}" for number in range(50)], TokenizerParameters(vocab_size=340)
    )


def shards(store: Store, stages: Stages, model: bytes, texts: Mapping[str, list[str]]) -> Stages:
    """The shards `train-00000` and `validation-00000` of texts by split."""
    tokenizer = Tokenizer(model)

    def made(part: Part, output: Any) -> PartResult:
        split = part.name.partition("-")[0]
        ids = [doc_id(100 + number) for number in range(len(texts[split]))]
        documents = pa.table({"doc_id": ids, "text": pa.array(texts[split], pa.large_string())})
        with output.file(split, "shard-00000.arrow", rows=len(ids)) as path:
            write_token_shard(encode_documents(documents, tokenizer, seed=0), path, tokenizer.identity)
        return PartResult(account=Account(documents_in=len(ids), documents_out=len(ids)))

    def published(part: Part, output: Any) -> PartResult:
        with output.file("model", "tokenizer.model") as path:
            path.write_bytes(model)
        return PartResult(account=Account(documents_in=0, documents_out=0))

    return {
        **stages,
        "tokens": publish_stage(store, "tokens", [Part(name="train-00000"), Part(name="validation-00000")], made),
        "tokenizer": publish_stage(store, "tokenizer", [Part(name="all")], published),
    }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_shard_that_holds_an_item_ends_the_run_with_its_name_and_the_documents(
    store: Store, quiz: EvaluationSet, tokenizer_model: bytes, split: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("pipeline_lib.decontaminate.shard_stage._TOKENS_AT_ONCE", 40)
    texts = {"train": [PAGE, START], "validation": [PAGE] * 3}
    texts[split] = [*texts[split], PAGE, f"{PAGE} {QUESTIONS[2]}"]
    stages = shards(store, decontaminated(store, quiz, PARAMETERS), tokenizer_model, texts)

    def check(parameters: DecontaminationParameters, key: str) -> PublishedStage:
        return publish_stage(
            store, "contamination", [Part(name="train-00000"), Part(name="validation-00000")],
            lambda part, output: contamination_part(part, stages, output, parameters.verdict()), key,
            vars(parameters.verdict()),
        )  # fmt: skip

    with pytest.raises(Contaminated) as raised:
        check(PARAMETERS, "drop")
    bad = doc_id(100 + len(texts[split]) - 1)
    for named in (f"{split}/shard-00000.arrow", f"document {bad}", "quiz:q2", "Which of these is the largest city"):
        assert named in str(raised.value)
    reported = check(DecontaminationParameters(action="report"), "report")
    found = {
        (part, row["doc_id"], row["item"], row["share"])
        for part in reported.part_names
        for row in reported.read("matches", part, EVALUATION_MATCHES).to_pylist()
    }
    assert found == {(f"{split}-00000", bad, "q2", 1.0), ("train-00000", doc_id(101), "q1", 0.2)}


def test_the_report_tells_documents_by_item_and_items_by_document(
    store: Store, quiz: EvaluationSet, tokenizer_model: bytes
) -> None:
    stages = shards(
        store, decontaminated(store, quiz, PARAMETERS), tokenizer_model, {"train": [START], "validation": [""]}
    )
    stages["contamination"] = publish_stage(
        store, "contamination", [Part(name="train-00000"), Part(name="validation-00000")],
        lambda part, output: contamination_part(part, stages, output, PARAMETERS.verdict()), "k",
        vars(PARAMETERS.verdict()),
    )  # fmt: skip
    found = find_contamination(stages)
    assert [(item["item"], item["share"], item["documents"]) for item in found.items] == [
        ("q0", 1.0, 1),
        ("q2", 1.0, 1),
        ("q1", 0.2, 2),
    ]
    assert found.items[2]["text"] == QUESTIONS[1]
    assert [each["url"] for each in found.items[2]["found"]] == [f"https://site.example/{number}" for number in (2, 11)]
    assert [(document["url"][-2:].strip("/"), document["found"][0]["item"]) for document in found.documents] == [
        ("1", "q0"),
        ("12", "q2"),
        ("2", "q1"),
        ("11", "q1"),
    ]
    section = contamination_section(found)
    assert section.summary.startswith("3 items of 1 evaluation sets were looked for. 2 were found in 2 documents")
    (row,) = section.blocks[0].rows  # type: ignore[union-attr]
    assert [cell.text for cell in row.cells] == ["quiz", "4", "3", "3", "2", "4", "2", "0"]


def test_addresses_in_a_passage_are_masked_in_the_report(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    item = f"The answer to all of this is known to jane@acme.com who lives at the corner of the street: {PAGE}"
    (tmp_path / "mail.jsonl").write_text(json.dumps({"q": item}) + "\n")
    monkeypatch.setitem(PARTS["part-00001"], 12, item)
    stages = decontaminated(store, EvaluationSet(paths=(str(tmp_path / "mail.jsonl"),)), PARAMETERS)
    (found, *_) = find_contamination(stages).items
    assert found["share"] == 1.0
    assert "jane@acme.com" not in found["found"][0]["excerpt"]
    assert "who lives at the corner" in found["found"][0]["excerpt"]
    assert stages["evaluation-items"].read("items", "all", EVALUATION_ITEMS)["text"].to_pylist() == [item]
