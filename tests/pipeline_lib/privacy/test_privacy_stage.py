import pyarrow as pa
from published_stages import publish_stage, publish_tables

from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import privacy_part
from pipeline_lib.survivors import Trail, read_survivors
from storage.manifests import Part
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store

TEXTS = {
    "a": "Cookies? Write to jane@acme.com or joe@acme.org.",
    "b": "Cookies? Nothing here.",
    "c": "judged away: jane@acme.com",
    "d": "a duplicate: jane@acme.com",
    "e": "Cookies? the é of 93.184.216.34",
}
CUT = len("Cookies? ")


def rows(schema, values):
    defaults = {
        field.name: 0 if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) else ""
        for field in schema
        if not field.nullable
    }
    return pa.Table.from_pylist([{**defaults, **value} for value in values], schema=schema)


def test_surviving_documents_are_masked_where_the_edits_before_left_them(tmp_path):
    store, part = Store(str(tmp_path / "store")), Part(name="part-00000")

    def publish(stage, table, schema, values):
        return publish_tables(store, stage, {part.name: {table: (rows(schema, values), schema)}})

    documents = [{"doc_id": doc_id, "text": text} for doc_id, text in TEXTS.items()]
    cuts = [{"doc_id": doc_id, "end": CUT} for doc_id, text in TEXTS.items() if text.startswith("Cookies? ")]
    inputs = {
        "extract": publish("extract", "documents", DOCUMENTS, documents),
        "signals": publish("signals", "edits", EDITS, cuts),
        "judge": publish("judge", "decisions", DECISIONS, [{"doc_id": "c"}]),
        "dedup": publish("dedup", "duplicates", DUPLICATES, [{"doc_id": "d"}]),
    }
    inputs["privacy"] = publish_stage(
        store, "privacy", [part], lambda part, output: privacy_part(part, inputs, output, PrivacyParameters())
    )

    record = inputs["privacy"].manifest.parts[0]
    assert record.account.documents_in == record.account.documents_out == 3
    assert record.metrics == {"documents_edited": 2, "masked": {"email": 2, "ipv4": 1, "ipv6": 0}}
    edits = inputs["privacy"].read("edits", part.name, EDITS).to_pylist()
    assert [(edit["doc_id"], edit["rule"], edit["start"]) for edit in edits] == [
        ("a", "email", TEXTS["a"].index("jane") - CUT),
        ("a", "email", TEXTS["a"].index("joe") - CUT),
        ("e", "ipv4", TEXTS["e"].index("93") + 1 - CUT),  # positions are in bytes: é has two
    ]
    trail = Trail(
        documents=inputs["extract"],
        edits=(inputs["signals"], inputs["privacy"]),
        drops=(inputs["judge"], inputs["dedup"]),
    )
    first, second, third = read_survivors(trail, part.name, ["text"])["text"].to_pylist()
    assert first.startswith("Write to ")
    assert "acme" not in first
    assert second == "Nothing here."
    assert third.startswith("the é of ")
    assert "93.184" not in third
