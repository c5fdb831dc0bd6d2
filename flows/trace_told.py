"""Where tokens and phrases came from in words: what `gristmill trace` prints of the facts that `flows.trace` finds."""

from collections.abc import Iterator, Mapping
from typing import Any

from flows.why_told import describe_drop
from storage.runs import Run


def describe_token(run: Run, traced: Mapping[str, Any]) -> str:
    """Where one token came from, for people."""
    lines = [
        f"token {traced['token']:,} of {traced['num_tokens']:,} of {traced['split']}, run {run.run_id}",
        f"  token      {traced['piece']!r}, id {traced['id']}{', special' if traced['is_special'] else ''}",
        f"  text       {_marked(traced['text'])}",
        f"  shard      {traced['shard']} row {traced['row']:,}",
        f"  position   {traced['position']:,} of {traced['document_tokens']:,} tokens of the document, which begin at "
        f"token {traced['document_first_token']:,}",
        f"  bytes      {traced['start']:,} to {traced['end']:,} of its text in the corpus; of the extracted text "
        f"{traced['extracted']['start']:,} to {traced['extracted']['end']:,}, {traced['extracted']['num_edits']} edits "
        "since",
        *_document_lines(traced["document"]),
    ]
    return "\n".join(lines)


def describe_phrase(run: Run, traced: Mapping[str, Any], *, has_shards: bool) -> str:
    """Where a phrase stands, for people."""
    found = traced["kept"] or traced["dropped"]
    if not found:
        return f"run {run.run_id} extracted no document with this phrase: {traced['phrase']!r}"
    number = f"the first {len(found)} places" if traced["is_more"] else f"{len(found)} places"
    if traced["kept"]:
        lines = [f"{number} in the corpus of run {run.run_id}" + ("" if has_shards else "; it has no token shards")]
        for each in found:
            lines += ["", f"  text       {_marked(each['text'])}"]
            tokens = each["tokens"]
            if tokens is not None:
                last = tokens["first_token"] + tokens["num_tokens"] - 1
                lines.append(
                    f"  tokens     {tokens['first_token']:,} to {last:,} of {tokens['split']}, {tokens['shard']} "
                    f"row {tokens['row']:,}"
                )
            lines += _document_lines(each["document"])
        return "\n".join(lines)
    lines = [f"not in the corpus of run {run.run_id}; {number} in what it extracted"]
    for each in found:
        fate = each["fate"]
        lines += [
            "",
            f"  text       {_marked(each['text'])}",
            f"  document   {fate['doc_id']}",
            f"  url        {fate['url']}",
            f"  warc       {fate['warc_path']} from byte {fate['warc_offset']:,}, {fate['warc_length']:,} bytes",
            f"  fate       {describe_drop(fate)}",
        ]
    return "\n".join(lines)


def describe_step(run: Run, traced: Mapping[str, Any]) -> str:
    """What a step of training saw, for people."""
    lines = [
        f"step {traced['step']:,} of run {run.run_id}: {len(traced['rows'])} rows of {traced['context']:,} tokens and "
        f"the one after, of {len(traced['documents']):,} documents"
    ]
    for row in traced["rows"]:
        lines.append(f"row {row['row']:,}, from token {row['first_token']:,}")
        for seen in row["seen"]:
            document = traced["documents"][seen["doc_id"]]
            tokens = f"{seen['first']:,}-{seen['end'] - 1:,} of {seen['document_tokens']:,}"
            lines.append(f"  {seen['doc_id']}  tokens {tokens:<20} {document['url']}")
    return "\n".join(lines)


def _document_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"  document   {document['doc_id']}, {document['split']}, {document['part']}, row {document['part_row']:,}"
    yield f"  url        {document['url'] or '-'}"
    yield f"  fetched    {document['fetched_at'] or '-'}"
    record = document["record"]
    if record is None:
        yield f"  texts      {document['warc_path']} row {document['warc_offset']:,}"
        return
    yield f"  warc       {document['warc_path']} from byte {document['warc_offset']:,}, {record['length']:,} bytes"
    yield f"  fetch it   {record['command']}"
    if "public_command" in record:
        yield f"  or         {record['public_command']}"


def _marked(text: Mapping[str, str]) -> str:
    """A piece of text on one line, what is meant between marks."""
    before, marked, after = (_one_line(text[name]) for name in ("before", "marked", "after"))
    return f"{before}»{marked}«{after}"


def _one_line(text: str) -> str:
    """Line breaks and other control characters as people write them down: nothing here moves a terminal's cursor."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
