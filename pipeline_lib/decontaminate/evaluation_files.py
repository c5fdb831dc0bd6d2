"""Evaluation sets as people have them: which files they are in, and the text of each item."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from pipeline_lib.decontaminate.parameters import EvaluationSet
from pipeline_lib.text_files.finding import find_files
from pipeline_lib.text_files.objects import read_objects
from pipeline_lib.text_files.opening import TextFileError, content_digest
from pipeline_lib.text_files.output_names import file_name, output_names

_ID_FIELDS = ("id", "task_id", "question_id")
_SHOWN_FIELDS = 40


@dataclass(frozen=True, kw_only=True)
class FoundSet:
    """An evaluation set and its files.

    Attributes:
        files: paths and URLs.
        digests: SHA-256 of each as it is.
        fields, items, id_field: see `EvaluationSet`.
    """

    name: str
    files: tuple[str, ...]
    digests: tuple[str, ...]
    fields: tuple[str, ...]
    items: str | None
    id_field: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        lists = {key: tuple(value[key]) for key in ("files", "digests", "fields")}
        return cls(name=value["name"], items=value["items"], id_field=value["id_field"], **lists)

    def identity(self) -> dict[str, Any]:
        """All of it but where the files are: a copy elsewhere gives the same items."""
        return {**self.as_json(), "files": [file_name(file) for file in self.files]}


@dataclass(frozen=True)
class ItemText:
    """One item: its id, and the text of each of its fields that has some."""

    item: str
    fields: tuple[tuple[str, str], ...]


def find_sets(sets: Sequence[EvaluationSet]) -> list[FoundSet]:
    """The sets that are meant, each with a name of its own, and their files read once for their digests.

    Raises:
        TextFileError: a path names no file, or a file cannot be read.
    """
    found: list[tuple[str | None, list[str], EvaluationSet]] = []
    for each in sets:
        files = find_files(each.paths)
        found += [(each.name, files, each)] if each.name is not None else [(None, [file], each) for file in files]
    # names of files give way to names that were given; `:` stands between set and item
    given = [name for name, _, _ in found if name is not None]
    stems = output_names([f"{name}.parquet" for name in given] + [files[0] for name, files, _ in found if name is None])
    made = iter(name.removesuffix(".parquet").replace(":", "_") for name in stems[len(given) :])
    return [
        FoundSet(
            name=next(made) if name is None else name,
            files=tuple(files),
            digests=tuple(content_digest(file) for file in files),
            fields=each.fields,
            items=each.items,
            id_field=each.id_field,
        )
        for name, files, each in found
    ]


def read_items(found: FoundSet) -> Iterator[ItemText]:
    """The items of a set, in the order of its files.

    Raises:
        TextFileError: a file cannot be read, is another than was found, has no items, or has none of the fields asked
            for in any row.
    """
    stems = [name.removesuffix(".parquet") for name in output_names(found.files)]
    for file, digest, stem in zip(found.files, found.digests, stems, strict=True):
        if content_digest(file) != digest:
            raise TextFileError(f"{file} changed while it was being worked with; run again")
        met: dict[str, None] = {}  # fields that some item has
        missing = set(found.fields)
        num_items = 0
        for number, row in read_objects(file):
            rows = _inner(row, found.items.split(".")) if found.items is not None else [row]
            for place, item in enumerate(rows, 1):
                num_items += 1
                missing -= {path for path in missing if _at(item, path.split("."))}
                if len(met) < _SHOWN_FIELDS:
                    met |= dict.fromkeys(item)
                counted = str(number) if found.items is None else f"{number}.{place}"
                name = _name(item, found.id_field) or counted
                yield ItemText(
                    item=name if len(found.files) == 1 else f"{stem}/{name}",
                    fields=tuple(_fields(item, found)),
                )
        if num_items == 0:
            at = f" at {found.items!r}: name where they are" if found.items is not None else ": leave the file out"
            raise TextFileError(f"{file}: evaluation set {found.name!r} has no items{at}")
        if missing:
            raise _no_field(file, found, min(missing), list(met))


def _fields(item: Mapping[str, Any], found: FoundSet) -> Iterator[tuple[str, str]]:
    if found.fields:
        for path in found.fields:
            text = "\n".join(piece for value in _at(item, path.split(".")) for piece in _pieces(value, numbers=True))
            if text:
                yield path, text
        return
    for key, value in item.items():
        if key != found.id_field and key not in _ID_FIELDS:
            text = "\n".join(_pieces(value, numbers=False))
            if text:
                yield key, text


def _at(value: Any, path: Sequence[str]) -> list[Any]:
    """What is at the end of a path; lists on the way stand for all that is in them."""
    found = [value]
    for name in path:
        found = [each[name] for each in _flat(found) if isinstance(each, dict) and each.get(name) is not None]
    return found


def _inner(row: dict[str, Any], path: Sequence[str]) -> list[dict[str, Any]]:
    """The objects at the end of a path, each with the fields around it that it has not itself."""
    found = [row]
    for name in path:
        found = [
            {**around, **each}
            for around in found
            for each in _flat([around.get(name)])
            if isinstance(each, dict)
            # what leads to the items is no field of them
            for around in [{key: value for key, value in around.items() if key != name}]
        ]
    return found


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """The values, lists replaced by what is in them."""
    waiting = list(reversed(values))
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        else:
            yield value


def _pieces(value: Any, *, numbers: bool) -> Iterator[str]:
    """All text in a value, in order; numbers as they are spelled, where they are asked for."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if each:
                yield each.encode("utf-8", "replace").decode()  # half a surrogate pair is no character
        elif isinstance(each, list):
            waiting.extend(reversed(each))
        elif isinstance(each, dict):
            waiting.extend(reversed(list(each.values())))
        elif numbers and isinstance(each, int | float) and not isinstance(each, bool):
            yield str(each)


def _name(item: Mapping[str, Any], id_field: str | None) -> str:
    for key in (id_field,) if id_field is not None else _ID_FIELDS:
        for value in _at(item, key.split(".")):
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value).encode("utf-8", "replace").decode()
    return ""


def _no_field(file: str, found: FoundSet, field: str, met: list[str]) -> TextFileError:
    close = difflib.get_close_matches(field, met, n=1)
    hint = f" Is it {close[0]!r}?" if close else ""
    return TextFileError(
        f"{file}: no item of evaluation set {found.name!r} has a field {field!r}. "
        f"The fields are {', '.join(map(repr, met))}.{hint} Name others under `fields`"
    )
