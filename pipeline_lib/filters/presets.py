"""Rule sets by name: which rules in which order with which thresholds, as their authors publish them.

Each preset is a YAML file in `presets/` with the keys of `FilterParameters` that differ from the defaults; the file
says where its numbers come from.
"""

import difflib
from importlib import resources
from typing import Any

import yaml

from storage.wrong_request import WrongRequest


class UnknownPreset(WrongRequest):
    """A name that no preset has, or presets that contradict each other."""


def preset_names() -> list[str]:
    """In alphabetical order."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def describe_presets() -> dict[str, str]:
    """By name, what the preset is."""
    return {name: str(_read(name)["description"]) for name in preset_names()}


def load_preset(names: str) -> dict[str, Any]:
    """The settings of a preset, or of several named with commas: their rules one after the other.

    Raises:
        UnknownPreset: no such preset, or two that give a key different values.
    """
    together: dict[str, Any] = {"rules": []}
    for name in [each.strip() for each in names.split(",")]:
        if name not in preset_names():
            close = difflib.get_close_matches(name, preset_names(), n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UnknownPreset(f"no preset {name!r}; {hint}there are {', '.join(preset_names())}")
        content = {key: value for key, value in _read(name).items() if key != "description"}
        together["rules"] += content.pop("rules")
        for key, value in content.items():
            if together.setdefault(key, value) != value:
                raise UnknownPreset(
                    f"presets {names} give {key} different values; write a YAML file that says which is meant"
                )
    return together


def _folder() -> Any:
    return resources.files("pipeline_lib") / "filters" / "presets"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    return content
