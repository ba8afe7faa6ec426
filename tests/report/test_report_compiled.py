"""Templates are compiled once, and again when they or what they are compiled with have changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from harness.report.compiled import CompiledTemplates


class Counting(Environment):
    """Knows how often it compiled something."""

    compiled = 0

    def _compile(self, source: str, filename: str) -> object:  # type: ignore[override]
        Counting.compiled += 1
        return super()._compile(source, filename)


def compilations(folder: Path, maker: Path, text: str = "Hello {{ name }}") -> int:
    """Of one start that fills one template."""
    Counting.compiled = 0
    environment = Counting(
        autoescape=True, loader=DictLoader({"greeting": text}), bytecode_cache=CompiledTemplates(folder, maker)
    )
    assert environment.get_template("greeting").render(name="you") == text.replace("{{ name }}", "you")
    return Counting.compiled


@pytest.fixture
def maker(tmp_path: Path) -> Path:
    file = tmp_path / "maker.py"
    file.write_text("trim_blocks = True")
    return file


def test_the_next_start_compiles_nothing(tmp_path: Path, maker: Path) -> None:
    assert [compilations(tmp_path / "kept", maker) for _ in range(3)] == [1, 0, 0]


def test_what_has_changed_is_compiled_again(tmp_path: Path, maker: Path) -> None:
    compilations(tmp_path / "kept", maker)
    assert compilations(tmp_path / "kept", maker, "Goodbye {{ name }}") == 1
    maker.write_text("trim_blocks = False")
    assert compilations(tmp_path / "kept", maker, "Goodbye {{ name }}") == 1


def test_nothing_is_written_where_python_writes_no_modules(
    tmp_path: Path, maker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert [compilations(tmp_path / "kept", maker) for _ in range(2)] == [1, 1]
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path, maker: Path) -> None:
    assert [compilations(tmp_path / "no folder/kept", maker) for _ in range(2)] == [1, 1]
