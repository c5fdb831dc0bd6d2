"""The rules that documents are judged by, as people name them: presets, YAML files, overrides."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.settings import SettingsError, apply_override, explain, known_keys, read_settings_file, refuse_unknown
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.presets import UnknownPreset, load_preset, preset_names
from pipeline_lib.kernels.words import WordDefinition

_PREFIX = "filters."
_KNOWN = {"preset", *known_keys(FilterParameters, "")}


def with_preset(content: Any, place: str) -> Any:
    """Filter settings in which the preset that they name is filled in, beneath what they say themselves.

    Raises:
        SettingsError: no such preset.
    """
    if not isinstance(content, dict) or "preset" not in content:
        return content
    own = {key: value for key, value in content.items() if key != "preset"}
    try:
        return _merged(load_preset(str(content["preset"])), own)
    except UnknownPreset as error:
        raise SettingsError(f"{place}: filters.preset: {error}") from error


def load_filters(rules: str, overrides: Sequence[str] = (), words: WordDefinition | None = None) -> FilterParameters:
    """The filters that a name stands for: presets (`fineweb`, or several with commas), or the path of a YAML file.

    A file has the keys of `filters` in a recipe, or is a recipe. Nothing is measured that no rule asks for, unless
    the settings say so.

    Raises:
        SettingsError: no such preset or file, an unknown key, a wrong value.
    """
    path = Path(rules)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise SettingsError(f"no file {rules}; rules are a YAML file, or presets: {', '.join(preset_names())}")
        place, content = rules, read_settings_file(path)
        content = content.get("filters", content)
        if not isinstance(content, dict):
            raise SettingsError(f"{place}: filters is {content!r}, expected keys and values")
    else:
        place, content = f"rules {rules}", {"preset": rules}
    refuse_unknown(content, "", _KNOWN, place)
    return _validated(content, overrides, place, words)


def change_filters(filters: FilterParameters, overrides: Sequence[str]) -> FilterParameters:
    """Filters with `filters.key=value` overrides applied; with `filters.preset=...`, from that preset on.

    Raises:
        SettingsError: an unknown key, or a wrong value.
    """
    from_preset = any(_without_prefix(each).partition("=")[0].strip() == "preset" for each in overrides)
    return _validated({} if from_preset else asdict(filters), overrides, "--set", None)


def _validated(
    content: dict[str, Any], overrides: Sequence[str], place: str, words: WordDefinition | None
) -> FilterParameters:
    for override in overrides:
        apply_override(content, _without_prefix(override), _KNOWN)
    content = with_preset(content, place)
    content.setdefault("also_measure", [])
    if words is not None:
        content["words"] = words
    try:
        return TypeAdapter(FilterParameters).validate_python(content)
    except ValidationError as error:
        raise SettingsError(f"{place}: {explain(error)}") from error


def _without_prefix(override: str) -> str:
    return override.strip().removeprefix(_PREFIX)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
