"""./invoke makes its environment once, finds itself from anywhere, and names what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nowhere"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with one task, whose lock holds Invoke alone: as little as the script needs."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "invoke").write_bytes((ROOT / "invoke").read_bytes())
    (folder / "invoke").chmod(0o755)
    (folder / "requirements.lock").write_text(lock_of("invoke"))
    (folder / "tasks.py").write_text("from invoke.tasks import task\n\n@task\ndef hello(c):\n    print('hello')\n")
    return folder


def lock_of(package: str) -> str:
    entry = re.search(rf"^{package}==.*?(?=^\S)", (ROOT / "requirements.lock").read_text(), re.MULTILINE | re.DOTALL)
    assert entry
    return entry.group(0)


def run(script: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_makes_its_environment_once_and_then_needs_no_network(checkout: Path, tmp_path: Path) -> None:
    first = run(checkout / "invoke", "hello", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (0, "hello\n"), first.stderr
    assert "requirements.lock" in first.stderr
    again = run(checkout / "invoke", "hello", cwd=tmp_path, **NO_INDEX)
    assert (again.returncode, again.stdout, again.stderr) == (0, "hello\n", "")


def test_it_is_found_through_a_symlink_from_another_directory(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(os.path.relpath(checkout / "invoke", tmp_path))
    assert run(link, "hello", cwd=Path("/")).stdout == "hello\n"


def test_compiled_modules_are_kept_for_the_next_start(checkout: Path, tmp_path: Path) -> None:
    (checkout / "beside.py").write_text("WORD = 'hello'\n")
    task = "from invoke.tasks import task\n\n@task\ndef hello(c):\n    import beside\n    print(beside.WORD)\n"
    (checkout / "tasks.py").write_text(task)
    assert run(checkout / "invoke", "hello", cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1").stdout == "hello\n"
    assert list((checkout / "__pycache__").glob("beside.*.pyc"))


def test_help_is_no_name(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "tasks.py").open("a") as tasks:
        tasks.write("\n@task(help={'name': 'of whom'})\ndef greet(c, name):\n    print(name)\n")
    for arguments in (["greet", "--help"], ["--help", "greet"]):
        assert "of whom" in run(checkout / "invoke", *arguments, cwd=tmp_path).stdout
    assert run(checkout / "invoke", "greet", "metrics-vm01", cwd=tmp_path).stdout == "metrics-vm01\n"


def test_another_lock_makes_it_anew(checkout: Path, tmp_path: Path) -> None:
    lock = checkout / "requirements.lock"
    lock.write_text(lock.read_text() + "# another lock\n")
    ended = run(checkout / "invoke", "hello", cwd=tmp_path)
    assert ended.stdout == "hello\n"
    assert "requirements.lock" in ended.stderr


def test_another_interpreter_makes_it_anew(checkout: Path) -> None:
    """A newer Python behind the same link would look for its packages in a folder of another name."""
    link = checkout / ".venv/bin/python"
    link.unlink()
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    ended = run(checkout / "invoke", "hello", cwd=checkout)
    assert ended.stdout == "hello\n"
    assert "requirements.lock" in ended.stderr
    assert link.is_symlink()


def test_a_package_with_another_content_is_refused(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "checkout"
    broken.mkdir()
    for name in ("invoke", "tasks.py"):
        (broken / name).write_bytes((checkout / name).read_bytes())
    (broken / "invoke").chmod(0o755)
    (broken / "requirements.lock").write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", lock_of("invoke")))
    ended = run(broken / "invoke", "hello", cwd=tmp_path)
    assert ended.returncode == 2
    assert "Could not install requirements.lock" in ended.stderr


def test_a_missing_venv_module_is_named_with_its_package(tmp_path: Path) -> None:
    (tmp_path / "invoke").write_bytes((ROOT / "invoke").read_bytes())
    (tmp_path / "invoke").chmod(0o755)
    (tmp_path / "requirements.lock").write_text("")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    ended = run(tmp_path / "invoke", cwd=tmp_path, PYTHON=str(python))
    assert ended.returncode == 2
    assert "apt-get install -y python3-venv" in ended.stderr
    assert not (tmp_path / ".venv").exists()
