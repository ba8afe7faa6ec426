"""The host's questions are asked for real, on this machine: apt and web servers of a test; no trace is left."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.preflight.host import judge_artifacts, judge_repositories
from harness.preflight.host_commands import UPDATE, render_knock
from harness.verify.batch import Answer
from tests.preflight.values import contract, only
from tests.remote.machine import free_port
from tests.verify.answers import answers

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")


def update(folder: Path, *lines: str) -> Answer:
    """Run the script on this machine, with apt's own sources replaced by `lines`, as the host's own would be."""
    (folder / "sources.list").write_text("\n".join(lines) + "\n")
    hook = folder / "hook-ran"
    (folder / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'APT::Update::Post-Invoke {{ "touch {hook}"; }};\n'
    )
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "TMPDIR": str(temporary), "LC_ALL": "C"}
    script = f"( {UPDATE} ) 2>&1"
    ended = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert list(temporary.iterdir()) == [], "the throw-away state is still there"
    assert not hook.exists(), "another package's hook ran"
    return answers({"update": ended.stdout}, {"update": ended.returncode}).answer("update")


@pytest.fixture
def repository(tmp_path: Path) -> str:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "Packages").write_text("")
    folder.chmod(0o755)
    return f"deb [trusted=yes] file:{folder} ./"


def test_a_repository_that_answers_is_well_and_nothing_of_it_stays(tmp_path: Path, repository: str) -> None:
    lists = sorted(Path("/var/lib/apt/lists").rglob("*"))
    found = only(judge_repositories(contract(), update(tmp_path, repository)))
    assert found.state == "ok"
    assert sorted(Path("/var/lib/apt/lists").rglob("*")) == lists


def test_each_repository_that_is_down_is_named_once(tmp_path: Path, repository: str) -> None:
    port = free_port()
    gone = f"deb [trusted=yes] file:{tmp_path}/gone ./"
    down = f"deb [trusted=yes] http://127.0.0.1:{port}/pve bookworm main"
    found = list(judge_repositories(contract(), update(tmp_path, repository, down, gone)))
    assert {one.state for one in found} == {"failed"}
    assert [f"127.0.0.1:{port}" in str(one) for one in found].count(True) == 1
    assert [f"{tmp_path}/gone" in str(one) for one in found].count(True) == 1
    assert all("sources.list.d of hv01" in one.do for one in found)


def test_no_repository_at_all_is_no_good_repository(tmp_path: Path) -> None:
    assert only(judge_repositories(contract(), update(tmp_path))).said == "apt on hv01 has no repository at all"


def test_a_repository_that_wants_a_subscription_is_to_be_switched_off() -> None:
    said = (
        "Err:1 https://repository.example/pve bookworm InRelease\n"
        "  401  Unauthorized [IP: 198.51.100.7 443]\n"
        "E: Failed to fetch https://repository.example/pve/dists/bookworm/InRelease  401  Unauthorized\n"
        "E: The repository 'https://repository.example/pve bookworm InRelease' is not signed.\n"
    )
    answer = answers({"update": said}, {"update": 100}).answer("update")
    assert only(judge_repositories(contract(), answer)).do.startswith("Run ./invoke bootstrap, which switches it off")


def test_what_apt_says_otherwise_is_not_known_to_be_well() -> None:
    answer = answers({"update": "E: Could not get lock"}, {"update": 100}).answer("update")
    assert only(judge_repositories(contract(), answer)).state == "unknown"


def test_a_knock_hears_the_first_line_of_a_web_server(tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.serve_forever)
        heard = _knock(server.server_port)
        server.shutdown()
        serving.result()
    assert only(judge_artifacts("127.0.0.1", heard)).said == "127.0.0.1 answers 200"
    assert only(judge_artifacts("127.0.0.1", _knock(free_port()))).state == "failed"


def _knock(port: int) -> Answer:
    ended = subprocess.run(["sh", "-c", render_knock("127.0.0.1", port)], capture_output=True, text=True, check=False)
    return answers({"knock": ended.stdout or ended.stderr}, {"knock": ended.returncode}).answer("knock")
