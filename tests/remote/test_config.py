"""The ssh_config trusts pinned keys only, and OpenSSH itself understands it as meant."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness import errors
from harness.remote.config import Login, render_ssh_config

LOGINS = (
    Login("hv01", "198.18.99.21", 22, "root", Path("/keys/id"), (Path("/a b/known"), Path("/learned"))),
    Login("metrics-vm01", "198.18.99.30", 2222, "a_autoprov", None, (Path("/100%/known"),)),
)


def test_is_what_was_reviewed() -> None:
    golden = Path(__file__).with_name("golden.ssh_config")
    assert render_ssh_config(LOGINS, Path("/run/c")) == golden.read_text()


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the package openssh-client")
def test_openssh_reads_it_as_meant(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(render_ssh_config(LOGINS, tmp_path))
    said = subprocess.run(["ssh", "-G", "-F", config, "hv01"], capture_output=True, text=True, check=True).stdout
    wanted = {
        "hostname 198.18.99.21",
        "hostkeyalias hv01",
        "stricthostkeychecking true",
        "batchmode yes",
        "identitiesonly yes",
        "identityfile /keys/id",
        "userknownhostsfile /a b/known /learned",
        "globalknownhostsfile none",
        "forwardagent no",
        "controlmaster auto",
    }
    assert wanted <= set(said.splitlines())


@pytest.mark.parametrize(
    "login",
    [
        Login("hv01\nProxyCommand touch /tmp/x", "10.0.0.1", 22, "root", None, ()),
        Login("hv01", "-oProxyCommand=x", 22, "root", None, ()),
        Login("hv01", "10.0.0.1", 22, "root evil", None, ()),
        Login("-hv01", "10.0.0.1", 22, "root", None, ()),
        Login("hv01", "10.0.0.1", 22, "root", Path('/k"ey'), ()),
    ],
)
def test_refuses_what_would_be_an_option(login: Login) -> None:
    with pytest.raises(errors.Invalid, match="Correct it in the inventory"):
        render_ssh_config([login], Path("/run/c"))
