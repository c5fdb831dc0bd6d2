"""Settings as people write them: YAML with known keys, `key.sub=value` overrides, and errors that say what would do."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from storage.wrong_request import WrongRequest


class SettingsError(WrongRequest):
    """Settings that cannot be used: the message says where, what was found, and what would do."""


def read_settings(text: str, place: str) -> dict[str, Any]:
    """The keys and values of a YAML text.

    Raises:
        SettingsError: not YAML, or something else than keys and values.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{place} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(
            f"{place}: expected keys and values such as `name: my-corpus`, found {type(content).__name__}"
        )
    return content


def read_settings_file(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        SettingsError: not UTF-8 text, not YAML, or something else than keys and values.
    """
    try:
        return read_settings(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text: {error}") from error


def known_keys(kind: Any, prefix: str) -> Iterator[str]:
    """All keys of the recipe, dotted."""
    for name, child in _children(kind).items():
        yield f"{prefix}{name}"
        yield from known_keys(child, f"{prefix}{name}.")


def list_single_values(content: dict[str, Any], kind: Any) -> None:
    """Make a list of one of every single value where a list belongs: `paths: a.warc.gz` for `paths: [a.warc.gz]`."""
    for name, child in _children(kind).items():
        value = content.get(name)
        if isinstance(value, dict):
            list_single_values(value, child)
        elif isinstance(value, str | int) and get_origin(child) is tuple:
            content[name] = [value]


def _children(kind: Any) -> dict[str, Any]:
    """The keys below a group of keys, and what belongs there; of `X | None` the X."""
    if get_origin(kind) in (Union, UnionType):
        groups = [_children(each) for each in get_args(kind)]
        return next((group for group in groups if group), {})
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: each.annotation for name, each in kind.model_fields.items()}
    if is_dataclass(kind):
        return {each.name: each.type for each in fields(kind) if each.init}
    return {}


def refuse_unknown(content: Mapping[str, Any], prefix: str, known: set[str], place: str) -> None:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if key not in known:
            raise SettingsError(f"{place}: unknown key {key!r}; {_suggest(key, known)}")
        if isinstance(value, dict):
            refuse_unknown(value, f"{key}.", known, place)


def _suggest(key: str, known: set[str]) -> str:
    """The known key that was probably meant: alike in the same place, or of the same name elsewhere."""
    prefix, _, name = key.rpartition(".")
    beside = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == prefix}
    alike = difflib.get_close_matches(name, beside, n=1, cutoff=0.6)
    if alike:
        return f"did you mean {beside[alike[0]]!r}?"
    elsewhere = sorted(each for each in known if each.rpartition(".")[2] == name)
    anywhere = elsewhere or difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
    if anywhere:
        return f"did you mean {' or '.join(repr(each) for each in anywhere[:6])}?"
    return f"known here are {', '.join(sorted(beside))}" if beside else "`gristmill recipe demo` shows all keys"


def apply_override(content: dict[str, Any], override: str, known: set[str]) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise SettingsError(f"--set {override!r}: expected key=value, for instance --set dedup.threshold=0.8")
    if key not in known:
        raise SettingsError(f"--set {override!r}: unknown key {key!r}; {_suggest(key, known)}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override!r}: the value is not YAML: {error}") from error
    if isinstance(value, dict):
        refuse_unknown(value, f"{key}.", known, f"--set {override!r}")
    *folders, name = key.split(".")
    for folder in folders:
        inner = content.setdefault(folder, {})
        if inner is None:  # a group that is off
            inner = content[folder] = {}
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {override!r}: {folder} is {inner!r} in the recipe, not a group of keys")
        content = inner
    content[name] = value


def explain(error: ValidationError) -> str:
    lines = []
    for each in error.errors():
        key = ".".join(str(step) for step in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        shown = (
            ""
            if isinstance(each.get("input"), dict | list) or each["type"] == "missing"
            else f" (found {each['input']!r})"
        )
        lines.append(f"{key}: {message}{shown}" if key else message)
    return "; ".join(lines)
