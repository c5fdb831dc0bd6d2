"""From tokens and phrases back to the documents, pages and archived records they came from; facts, as JSON values.

`flows.trace_told` says the same in words.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.recipe import Recipe
from flows.why import Fates
from pipeline_lib.corpus.phrases import Occurrence, Phrase, occurrences
from pipeline_lib.crawl.index_query import DATA_SERVER
from pipeline_lib.crawl.range_reader import joined_url
from pipeline_lib.crawl.record_places import RecordPlace, record_place
from pipeline_lib.edited_positions import edit_steps, extracted_span
from pipeline_lib.lookup import Place, rows_of_documents
from pipeline_lib.survivors import trail_of
from pipeline_lib.tokenizer.model import Tokenizer, load_tokenizer
from pipeline_lib.tokens.places import DocumentTokens, TokenPlaces
from pipeline_lib.tokens.spans import token_spans
from storage.runs import Run, open_stages
from storage.schemas import CORPUS, DOCUMENTS, SOURCES
from storage.store import Store
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

SPLITS = ("train", "validation")
_MEASURED = ("signals", "rules")  # `gristmill why` tells these
_Spans = npt.NDArray[np.int64]
_SHOWN = ("doc_id", "url", "title", "fetched_at", "warc_path", "warc_offset", "warc_length")


class Tracer:
    """Answers where the tokens and texts of one run came from. What a question needs is read once, for many.

    Raises:
        WrongRequest: the run has no corpus.
        MissingStage: what a stage of the run made is not in the store any more.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.stages = open_stages(store, run)
        if "corpus" not in self.stages:
            raise WrongRequest(
                f"run {run.run_id} has no corpus (it is {run.status}): nothing of it can be traced yet; "
                f"`gristmill run {run.recipe_name}` continues it"
            )
        self._places: dict[str, TokenPlaces] = {}

    def token(self, number: int, split: str, context: int) -> dict[str, Any]:
        """One token of the stream of a split: its document, the text around it, the record on the web's archive.

        Args:
            context: so many characters of text on each side.

        Raises:
            NoSuchToken: the stream is shorter.
            WrongRequest: the run has no token shards.
            TokenizerMismatch: the shards were made with another tokenizer than the run's.
            DamagedFile: the shard's tokens are not those of the document's text in the corpus.
        """
        places = self.token_places(split)
        tokens, position = places.at(number)
        place, row = self._documents(split, [tokens.doc_id])[tokens.doc_id]
        text = row["text"].encode()
        start, end = self._spans(tokens, row["text"])[position].tolist()
        steps = edit_steps(trail_of(self.stages), place.part, tokens.doc_id)
        before = extracted_span((start, end), steps)
        token_id = int(tokens.ids[position])
        return {
            "split": split,
            "token": number,
            "num_tokens": places.num_tokens,
            "id": token_id,
            "piece": self.tokenizer.pieces[token_id],
            "is_special": bool(self.tokenizer.is_special[token_id]),
            "shard": tokens.shard,
            "row": tokens.row,
            "position": position,
            "document_tokens": len(tokens.ids),
            "document_first_token": tokens.first,
            "start": start,
            "end": end,
            "text": excerpt(text, start, end, context),
            "extracted": {"start": before[0], "end": before[1], "num_edits": sum(map(len, steps))},
            "document": self._told(split, place, row),
        }

    def step(self, step: int) -> dict[str, Any]:
        """The documents that a step of training saw, in the order of the rows of its batch.

        Args:
            step: from 1, as the training log counts.

        Raises:
            WrongRequest: the run trained no model, or not so many steps.
        """
        if "train" not in self.stages:
            raise WrongRequest(f"run {self.run.run_id} trained no model (it is {self.run.status}): it took no step")
        parameters = Recipe.model_validate(self.run.recipe).training
        if not 1 <= step <= parameters.steps:
            raise WrongRequest(f"step {step}: run {self.run.run_id} took steps 1 to {parameters.steps:,}")
        # here, not above: it imports PyTorch, which other questions do without
        from model.batches import num_rows, rows_of_step

        places = self.token_places("train")
        rows = rows_of_step(
            step - 1,
            rows_per_batch=parameters.batch_tokens // parameters.context,
            num_rows=num_rows(places.num_tokens, parameters.context),
            seed=parameters.seed,
        )
        batch = []
        for row in rows.tolist():
            first = row * parameters.context
            seen = places.between(first, first + parameters.context + 1)
            batch.append({"row": row, "first_token": first, "seen": [_piece(*each) for each in seen]})
        found = self._documents("train", {each["doc_id"] for row in batch for each in row["seen"]}, text=False)
        documents = {doc_id: self._told("train", *each, with_record=False) for doc_id, each in found.items()}
        return {"step": step, "context": parameters.context, "rows": batch, "documents": documents}

    def phrase(self, phrase: Phrase, splits: Iterable[str], limit: int, context: int) -> dict[str, Any]:
        """The first places where a phrase stands in the corpus, or else in documents that are not in it as they were.

        `kept`: occurrences in the corpus, with their tokens where the run has shards. `dropped`: where there is none,
        occurrences in what was extracted, with the stage and rule that dropped the document; None: an edit took the
        phrase out of a document that was kept.
        """
        kept: list[dict[str, Any]] = []
        for split in splits:
            left = limit + 1 - len(kept)
            if left > 0:
                found = occurrences(self.stages["corpus"], split, CORPUS, phrase, left)
                kept += self._occurrences(split, found, context)
        dropped = [] if kept else self._dropped(phrase, limit + 1, context)
        return {
            "phrase": phrase.text,
            "kept": kept[:limit],
            "dropped": dropped[:limit],
            "is_more": max(len(kept), len(dropped)) > limit,
        }

    @property
    def has_shards(self) -> bool:
        return "tokens" in self.stages

    @cached_property
    def tokenizer(self) -> Tokenizer:
        with self.stages["tokenizer"].local_file("model") as path:
            return load_tokenizer(path)

    def token_places(self, split: str) -> TokenPlaces:
        if not self.has_shards:
            raise WrongRequest(
                f"run {self.run.run_id} has no token shards (it is {self.run.status}, goal "
                f"{self.run.recipe.get('goal')}): run its recipe with --set goal=tokens, or trace a phrase with --text"
            )
        if split not in self._places:
            self._places[split] = TokenPlaces(self.stages["tokens"], split, self.tokenizer.identity)
        return self._places[split]

    def _spans(self, tokens: DocumentTokens, text: str) -> _Spans:
        """The bytes of each token of a document; its text is encoded anew, so that it is what was trained on."""
        ids, _ = self.tokenizer.encode_column(pa.array([text], pa.large_string()))
        if ids.tolist() != tokens.ids.tolist():
            raise DamagedFile(
                f"{tokens.shard} row {tokens.row}: its tokens are not those of document {tokens.doc_id} in "
                "the corpus; run again: what is damaged is found and made again"
            )
        return token_spans(self.tokenizer, ids, text.encode())

    def _documents(
        self, split: str, doc_ids: Iterable[str], *, text: bool = True
    ) -> dict[str, tuple[Place, dict[str, Any]]]:
        """Where documents of the corpus are, and their rows, by id."""
        corpus = self.stages["corpus"]
        wanted = set(doc_ids)
        places = rows_of_documents(corpus, split, CORPUS, wanted)
        if len(places) < len(wanted):
            raise DamagedFile(
                f"{corpus.manifest.address.folder} has no document {min(wanted - places.keys())}, but the shards have "
                "its tokens; run again"
            )
        return {doc_id: (place, self._row(split, place, text=text)) for doc_id, place in places.items()}

    def _row(self, split: str, place: Place, *, text: bool = True) -> dict[str, Any]:
        columns = [*_SHOWN, "text"] if text else list(_SHOWN)
        rows = self.stages["corpus"].read_rows(split, place.part, CORPUS, [place.row], columns).to_pylist()
        row: dict[str, Any] = rows[0]
        return row

    def _told(self, split: str, place: Place, row: Mapping[str, Any], *, with_record: bool = True) -> dict[str, Any]:
        """A document as people and programs are told of it."""
        told = {name: row[name] for name in _SHOWN}
        told["fetched_at"] = row["fetched_at"].isoformat() if row["fetched_at"] is not None else None
        told |= {"split": split, "part": place.part, "part_row": place.row}
        return told | {"record": self._record(place.part, row)} if with_record else told

    def _record(self, part: str, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Where the bytes of a document's record are, and how to see them; None: it is a row of a file of texts."""
        fetch = self.stages["fetch"]
        place = record_place(row, fetch.read("sources", part, SOURCES).to_pylist(), self.store)
        if place is None:
            return None
        record = {**vars(place), "command": place.command()}
        source = self.run.recipe.get("source", {})
        if source.get("kind") == "commoncrawl":
            public = RecordPlace(
                url=joined_url(DATA_SERVER, row["warc_path"]), start=row["warc_offset"], length=row["warc_length"]
            )
            if public != place:
                record |= {"public_url": public.url, "public_command": public.command()}
        return record

    def _occurrences(self, split: str, found: Iterable[Occurrence], context: int) -> list[dict[str, Any]]:
        rows: dict[Place, tuple[dict[str, Any], dict[str, Any], DocumentTokens | None, _Spans | None]] = {}
        answers = []
        for each in found:
            if each.place not in rows:
                row = self._row(split, each.place)
                tokens = self.token_places(split).of_document(each.doc_id) if self.has_shards else None
                spans = None if tokens is None else self._spans(tokens, row["text"])
                rows[each.place] = row, self._told(split, each.place, row), tokens, spans
            row, told, tokens, spans = rows[each.place]
            answer = {
                "start": each.start,
                "end": each.end,
                "text": excerpt(row["text"].encode(), each.start, each.end, context),
                "document": told,
                "tokens": None,
            }
            if tokens is not None and spans is not None:
                inside = ((spans[:, 0] < each.end) & (spans[:, 1] > each.start)).nonzero()[0]
                first, last = int(inside[0]), int(inside[-1])
                answer["tokens"] = {
                    "split": split,
                    "shard": tokens.shard,
                    "row": tokens.row,
                    "position": first,
                    "first_token": tokens.first + first,
                    "num_tokens": last + 1 - first,
                }
            answers.append(answer)
        return answers

    def _dropped(self, phrase: Phrase, limit: int, context: int) -> list[dict[str, Any]]:
        extract = self.stages["extract"]
        fates = Fates(self.store, self.run)
        answers = []
        for each in occurrences(extract, "documents", DOCUMENTS, phrase, limit):
            text = extract.read_rows("documents", each.place.part, DOCUMENTS, [each.place.row], ["text"])["text"][0]
            answers.append(
                {
                    "start": each.start,
                    "end": each.end,
                    "text": excerpt(text.as_py().encode(), each.start, each.end, context),
                    "fate": {name: value for name, value in fates.at(each.place).items() if name not in _MEASURED},
                }
            )
        return answers


def excerpt(text: bytes, start: int, end: int, context: int) -> dict[str, str]:
    """The bytes [start, end) of a UTF-8 text, widened to whole characters, and so many characters on each side."""
    while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    before = text[max(0, start - 4 * context) : start].decode("utf-8", "ignore")
    after = text[end : end + 4 * context].decode("utf-8", "ignore")
    return {
        "before": before[len(before) - min(context, len(before)) :],
        "marked": text[start:end].decode("utf-8", "replace"),
        "after": after[:context],
    }


def _piece(tokens: DocumentTokens, first: int, end: int) -> dict[str, Any]:
    return {"doc_id": tokens.doc_id, "first": first, "end": end, "document_tokens": len(tokens.ids)}
