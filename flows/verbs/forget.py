"""The verb that withdraws pages, domains and files: `forget`."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import json_option, store_option
from storage.exclusions import Exclusion, ExclusionEntry, ExclusionKind, Exclusions, read_exclusions
from storage.store import Store
from storage.wrong_request import WrongRequest

_FILES_SHOWN, _PAGES_SHOWN, _NAMES_SHOWN = 4, 10, 3


@click.command()
@click.argument("targets", metavar="[URL|DOMAIN|FILE]...", nargs=-1)
@click.option(
    "--from",
    "lists",
    metavar="LIST",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    multiple=True,
    help="A text file with one URL, domain or file a line; `-` reads standard input.",
)
@click.option(
    "--as", "kind", type=click.Choice(["url", "domain", "file"]), help="What is meant.  [default: as it looks]"
)
@click.option("--reason", metavar="TEXT", default="", help="Why, to be kept with the entry.")
@click.option("--list", "show_list", is_flag=True, help="Show what is withdrawn, and since when.")
@click.option("--undo", is_flag=True, help="Take off the list again what was withdrawn.")
@click.option("--dry-run", is_flag=True, help="Say what holds it, and write nothing.")
@store_option
@json_option
def forget(
    targets: tuple[str, ...],
    lists: tuple[Path, ...],
    kind: ExclusionKind | None,
    reason: str,
    show_list: bool,
    undo: bool,
    dry_run: bool,
    store_url: str,
    as_json: bool,
) -> None:
    """Withdraw pages, domains with all hosts below them, or whole WARC and text files from all later corpora.

    The answer says which runs, shards, indexes and models hold them. Later runs leave them out, as `withdrawn_url`,
    `withdrawn_domain` or `withdrawn_file`, and make anew only what comes after: extraction, signals and signatures are
    used as they are. `runs` and `show` mark every run whose corpus holds a withdrawn document.

    No text is erased. What was extracted stays in the store as long as any run of that source is kept, new ones too:
    they read it, and leave it out after. A recipe with the domain in extract.opt_outs.domains extracts everything anew
    without it; when the runs before are removed, `gristmill gc` removes their text. Your WARC files stay as they are,
    and a model keeps what it has learned.

    \b
    gristmill forget https://example.org/page --reason "asked by its author"
    gristmill forget example.org
    gristmill forget crawl-data/CC-MAIN-2026-43/segments/1/warc/a.warc.gz
    gristmill forget --from takedowns.txt
    gristmill forget --list
    gristmill forget example.org --undo
    """
    with clear_errors("what was on the list before is on it"):
        if show_list:
            if targets or lists or undo or dry_run or reason or kind:
                raise WrongRequest("--list shows the whole list: give it alone")
            exclusions = read_exclusions(Store(store_url))
            rows = _rows(exclusions, exclusions.in_force)
            click.echo(json.dumps({"withdrawn": rows}) if as_json else _describe_list(rows))
            return
        if not targets and not lists:
            raise WrongRequest("name what to withdraw: a URL, a domain, a file, or --from LIST; --list shows the list")

        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.forget import known_by_path, parse_list, parse_targets, restore, withdraw

        store = Store(store_url)
        asked = parse_targets(targets, kind)
        for path in lists:
            asked += parse_list(_lines(path), str(path), kind)
        asked = list(dict.fromkeys(known_by_path(store, asked)))
        entry = (restore if undo else withdraw)(store, asked, reason, dry_run=dry_run)
        _tell(store, asked, entry, undo=undo, dry_run=dry_run, as_json=as_json)


def _tell(
    store: Store, asked: Sequence[Exclusion], entry: ExclusionEntry | None, *, undo: bool, dry_run: bool, as_json: bool
) -> None:
    exclusions = read_exclusions(store)
    new = entry.exclusions if entry is not None else ()
    shown: dict[str, Any] = {"act": "restore" if undo else "withdraw", "dry_run": dry_run}
    shown["entry"] = entry.name if entry is not None else None
    shown["asked"] = _rows(exclusions, asked)
    lines = _describe_act(shown, set(new))
    if not undo:
        from flows.holdings import find_holdings

        shown |= find_holdings(store, asked).as_json()
        lines += _describe_holdings(shown)
    click.echo(json.dumps(shown) if as_json else "\n".join(lines))


def _lines(path: Path) -> Iterable[str]:
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise WrongRequest(f"{path} is not UTF-8 text: {error}") from error


def _rows(exclusions: Exclusions, asked: Iterable[Exclusion]) -> list[dict[str, Any]]:
    """What was asked for, and by which entry it is on the list; null where by none."""
    by_name = {entry.name: entry for entry in exclusions.entries}
    rows = []
    for each in asked:
        names = exclusions.in_force.get(each, ())
        entry = by_name[names[0]] if names else None
        rows.append(
            {
                "kind": each.kind,
                "value": each.value,
                "since": entry.made_at if entry is not None else None,
                "reason": entry.reason if entry is not None else None,
                "entry": entry.name if entry is not None else None,
            }
        )
    return rows


def _describe_list(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "nothing is withdrawn; `gristmill forget URL|DOMAIN|FILE` withdraws"
    return "\n".join(
        f"{Exclusion(row['kind'], row['value'])!s:<56} since {row['since'][:19]}  {row['reason']}".rstrip()
        for row in rows
    )


def _describe_act(shown: Mapping[str, Any], new: set[Exclusion]) -> list[str]:
    """What was done to the list, in a line for each of a few things, or in numbers for many."""
    rows = shown["asked"]
    done = {"withdraw": "withdrawn", "restore": "restored"}[shown["act"]]
    if shown["dry_run"]:
        done = f"would be {done}"
    lines = []
    for row in rows[:_NAMES_SHOWN]:
        named = Exclusion(row["kind"], row["value"])
        is_new = named in new
        said = done if is_new else f"was withdrawn on {row['since'][:19]}, entry {row['entry']}"
        lines.append(f"{said}: {named} ({_meaning(row['kind'], row['value'])})")
    if len(rows) > _NAMES_SHOWN:
        lines.append(f"and {len(rows) - _NAMES_SHOWN:,} more: {done} {len(new):,} of all {len(rows):,}")
    if shown["act"] == "restore":
        lines.append("run recipes again for it to come back: what was made before it was withdrawn is used as it is")
    return lines


def _meaning(kind: str, value: str) -> str:
    """What goes with it, and what somebody may have meant instead."""
    match kind:
        case "domain" if value.startswith("www."):
            return f"with all hosts below it; {value[4:]} itself is another domain"
        case "domain":
            return "with all hosts below it"
        case "url" if value.find("/") == len(value) - 1:
            return f"its front page alone; the whole site is `gristmill forget {value.partition('/')[0]}`"
        case "url":
            return "this page"
        case _:
            return "all documents from it"


def _describe_holdings(shown: Mapping[str, Any]) -> list[str]:
    lines = [""]
    for held in shown["runs"]:
        lines += _describe_run(held)
    others = shown["other_runs"]
    if not shown["runs"]:
        lines.append("no run of this store has such a document; later ones leave it out")
    elif others:
        lines.append(f"{others:,} other run{'s hold' if others > 1 else ' holds'} none")
    for index in shown["indexes"]:
        lines.append(
            f"index {index['index']}: {_documents(index['documents'])} in entry {index['entry']} of run "
            f"{index['run_id']}: run its recipe again"
            + (f", then those of {', '.join(index['later_runs'])}" if index["later_runs"] else "")
        )
    if shown["num_similar"]:
        lines += ["", "not withdrawn, though dedup found them alike; forget these, too, if they are meant:"]
        for page in shown["similar"][:_PAGES_SHOWN]:
            alike = "" if page["similarity"] is None else f" {page['similarity']:.3f}"
            where = page["url"] or f"document {page['doc_id']} of the earlier run {page['kept_run']}"
            fate = "was kept" if page["fate"] == "stays" else "comes back with the next run"
            lines.append(f"  {where}  {page['rule']}{alike}, {fate}")
        if shown["num_similar"] > _PAGES_SHOWN:
            lines.append(f"  and {shown['num_similar'] - _PAGES_SHOWN:,} more; --json names the first thousand")
    lines += [f"could not be looked through: {problem}" for problem in shown["unreadable"]]
    if shown["runs"]:
        lines += [
            "",
            "run the recipes again: what was extracted and measured is used as it is, all from dedup on is made anew"
            if any(held["corpus"] for held in shown["runs"])
            else "no corpus has it, and later runs leave it out",
            "no text is erased: stages/extract keeps it as long as any run of the source is kept, new ones too, and a",
            "model what it has learned; `gristmill forget --help` says how to extract without it",
        ]
    return lines


def _describe_run(held: Mapping[str, Any]) -> list[str]:
    in_corpus = ", ".join(f"{count:,} in {split}" for split, count in sorted(held["corpus"].items()))
    extracted = (
        "its extracted text is gone" if held["extracted"] is None else f"{_documents(held['extracted'])} extracted"
    )
    lines = [f"run {held['run_id']} ({held['status']}): {extracted}; corpus: {in_corpus or 'none'}"]
    for stage, files in held["files"].items():
        folder = "/".join(next(iter(files)).split("/")[:3])
        listed = [
            f"{path.removeprefix(folder + '/')} ({count:,})" for path, count in list(files.items())[:_FILES_SHOWN]
        ]
        more = f" and {len(files) - _FILES_SHOWN:,} more files" if len(files) > _FILES_SHOWN else ""
        lines.append(f"  {stage:<11} {folder}: {', '.join(listed)}{more}")
    for name, path in held["results"].items():
        lines.append(f"  {name:<11} {path}{' (trained on this corpus)' if name == 'checkpoint' else ''}")
    return lines


def _documents(count: int) -> str:
    return f"{count:,} document{'s' * (count != 1)}"
