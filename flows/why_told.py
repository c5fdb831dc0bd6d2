"""The fate of a page in words: what `gristmill why` prints of the facts that `flows.why` finds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.runs import Run

_OWN_LINE = ("judge", "dedup", "semantic", "lines", "decontaminate")  # drops that are told in words of their own


def describe_fate(url: str, run: Run, captures: Sequence[Mapping[str, Any]]) -> str:
    """What became of every capture of a URL, for people."""
    if not captures:
        return (
            f"{url} was not found in run {run.run_id}: no record of its WARC files has that URL. "
            "`gristmill show` lists what the run read."
        )
    return "\n\n".join("\n".join(_capture_lines(capture)) for capture in captures)


def describe_absence(url: str, run: Run, absence: Mapping[str, Any]) -> str:
    """What may be the reason that a run has no capture of a URL, for people."""
    lines = [describe_fate(url, run, [])]
    host, index, sources = absence["host"], absence["asked_of_index"], absence["sources"]
    if absence["documents_of_host"]:
        listed = "".join(f"\n    {each}" for each in absence["urls_of_host"])
        lines.append(f"  of {host} it has {absence['documents_of_host']:,} documents, such as{listed}")
    elif host:
        lines.append(f"  of {host} it has no document at all")
    if index is not None:
        asked = ", ".join(
            f"{name} {', '.join(map(str, index[name]))}" for name in ("urls", "hosts", "domains") if index.get(name)
        )
        outside = ": that host is not among them" if absence["is_host_asked_for"] is False else ""
        lines.append(
            f"  it read only what the index of {sources['crawl']} has of {asked or 'what source.index asks'}{outside}"
        )
    elif sources["files"] is not None or sources["sample"] is not None or sources["every"] not in (None, 1):
        asked = ", ".join(
            f"source.{name}={sources[name]}" for name in ("files", "every", "sample") if sources[name] is not None
        )
        lines.append(f"  it read only some files of the crawl ({asked}): the page may be in another")
    if absence["num_lost"]:
        lines.append(
            f"  {absence['num_lost']:,} ranges were lost, and it may have been in one; run again to fetch them:"
        )
        lines += [
            f"    {lost['stage']}: {lost['warc_path']} from byte {lost['offset']:,}, {lost['reason']}"
            for lost in absence["lost"]
        ]
    return "\n".join(lines)


def describe_drop(fate: Mapping[str, Any]) -> str:
    """Which stage dropped a document, by which rule and by how much, on one line."""
    dropped = fate["dropped"]
    if dropped is None:
        edits = ", ".join(f"{edit['stage']} {edit['rule']}" for edit in fate["edits"])
        return f"kept, in {fate['split']}, but edited there: {edits}" if "split" in fate else "kept so far"
    if fate.get("duplicate"):
        return f"dropped by {dropped['stage']}: {_duplicate_of(fate['duplicate'])}"
    return f"dropped by {dropped['stage']}: {dropped['rule']}{_because(dropped)}"


def _capture_lines(capture: Mapping[str, Any]) -> Iterator[str]:
    yield f"{capture['url']}"
    yield f"  found at   {capture['warc_path']} offset {capture['warc_offset']}"
    if "text_characters" not in capture:
        yield f"  extract    dropped: {capture['reason']}"
        return
    yield (
        f"  extract    document {capture['doc_id']}, {capture['text_characters']:,} characters, "
        f"{capture['language']} ({capture['language_score']:.2f}), {capture['charset']}"
    )
    for edit in capture["edits"]:
        yield f"  {edit['stage']:<10} {edit['count']} x {edit['rule']}, {edit['bytes']:,} bytes"
    decision = capture.get("decision")
    if decision:
        yield f"  judge      dropped: {decision['rule']}: {_beside_the_line(decision)}"
    elif "signals" in capture:
        yield "  judge      kept: no rule broken"
    duplicate = capture.get("duplicate")
    if duplicate:
        yield f"  {duplicate['stage']:<10} dropped: {_duplicate_of(duplicate)}"
    elif capture.get("cluster_id"):
        yield f"  dedup      kept, of cluster {capture['cluster_id']}"
    elif "split" in capture:
        yield "  dedup      kept: nothing like it"
    if capture.get("repeated"):
        yield f"  lines      dropped: {capture['repeated']['rule']} ({_number(capture['repeated']['value'])})"
    yield from _contamination_lines(capture)
    dropped = capture.get("dropped")
    if dropped and dropped["stage"] not in _OWN_LINE:
        yield f"  {dropped['stage']:<10} dropped: {dropped['rule']}{_because(dropped)}"
    if "split" in capture:
        yield f"  corpus     {capture['split']}, {capture['part']}, row {capture['row']}"
    tokens = capture.get("tokens")
    if tokens:
        last = tokens["first_token"] + tokens["num_tokens"] - 1
        yield (
            f"  tokens     {tokens['num_tokens']:,}, {tokens['first_token']:,} to {last:,} of {tokens['split']}, "
            f"{tokens['shard']} row {tokens['row']:,}"
        )
    for rule in capture.get("rules", []):
        value = rule["value"] if isinstance(rule["value"], str) else _number(rule["value"])
        mark = f"broken{_by(rule)}" if rule["broken"] else ""
        yield f"    {rule['rule']:<44} {value:>12}  drops {rule['drops']:<52} {mark}".rstrip()


def _beside_the_line(decision: Mapping[str, Any]) -> str:
    """A value, where the line is, and how far apart the two are."""
    if decision["value"] is None:
        return decision.get("evidence") or "-"
    unit = f" {decision['unit']}" if decision.get("unit") else ""
    said = f"{_number(decision['value'])}{unit}, the line is at {_number(decision['threshold'])}"
    if decision.get("margin") is None:
        return said
    side = "below" if decision["value"] < decision["threshold"] else "above"
    return f"{said}: {_number(abs(decision['margin']))}{unit} {side} it"


def _because(dropped: Mapping[str, Any]) -> str:
    """What a stage without words of its own says beside its rule."""
    if dropped.get("value") is not None:
        return f": {_beside_the_line(dropped)}"
    return f": {_one_line(dropped['evidence'])}" if dropped.get("evidence") else ""


def _by(rule: Mapping[str, Any]) -> str:
    if rule.get("margin") is None:
        return ""
    return f" by {_number(abs(rule['margin']))}{f' {unit}' if (unit := rule.get('unit')) else ''}"


def _duplicate_of(duplicate: Mapping[str, Any]) -> str:
    """By what rule, of which document, and how alike the two are."""
    kept = [duplicate["kept_id"]]
    if duplicate["kept_run"] is not None:
        kept.append(f"of the earlier run {duplicate['kept_run_id'] or duplicate['kept_run']}")
    said = f"{duplicate['rule']} of {duplicate['kept_url'] or 'a document'} ({', '.join(kept)})"
    if duplicate["similarity"] is None:
        return said
    measure = "cosine" if duplicate["rule"] == "semantic_duplicate" else "similarity"
    return f"{said}, {measure} {duplicate['similarity']:.3f}, the line is at {duplicate['threshold']:.3f}"


def _contamination_lines(capture: Mapping[str, Any]) -> list[str]:
    """What evaluation items the document holds, if it was asked."""
    if not capture.get("evaluation_matches"):
        return []
    dropped = capture["contamination"]
    lines = [
        f"  evaluation dropped: {dropped['rule']}: {_number(dropped['value'])} of an item, the line is at "
        f"{_number(dropped['threshold'])}"
        if dropped
        else "  evaluation kept, with some of an item"
    ]
    lines += [
        f"    {match['set']}:{match['item']} ({match['fields']}): {match['matched']} of {match['of']} n-grams, "
        f"{_one_line(match['excerpt'])!r}"
        for match in capture["evaluation_matches"]
    ]
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
