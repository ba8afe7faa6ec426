"""Do with the printed YAML what an operator does: put each document into its file and fill the gaps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILL_IN = "FILL_IN"


def documents(text: str) -> dict[str, str]:
    """File path below the folder of sites -> text."""
    parts = re.split(r"^---\n(?=# )", text, flags=re.M)[1:]
    return {part.split("\n", 1)[0].removeprefix("# ").partition("/")[2]: part for part in parts}


def fill(text: str, answers: Mapping[str, str]) -> str:
    """Each gap by its key; what is no gap stays as it was printed."""

    def answer(found: re.Match[str]) -> str:
        return f"{found[1]}{answers[found[1].strip(' :')]}"

    return re.sub(rf"^( *\S+: ){FILL_IN}  #.*$", answer, text, flags=re.M)


def put(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def merge(file: Path, text: str) -> None:
    """For a document that only adds keys to a file that is there."""
    merged = _merged(yaml.safe_load(file.read_text()), yaml.safe_load(text))
    file.write_text(yaml.safe_dump(merged, sort_keys=False))


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
