"""Have the owner's image factory build a template with packer, and test what comes out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable

from harness.contract import ApiToken, Factory, Template
from harness.engine.observe import observe
from harness.errors import HarnessError, Invalid, Missing, Unsafe
from harness.evidence import Secret, hide_secrets
from harness.plan.changes import Refusal
from harness.plan.templates import find_template
from harness.templates.bench import Bench
from harness.templates.bringing import Outcome, Ready, examine

TAIL_LINES = 5
ReadSecret = Callable[[ApiToken], Secret]


def build(bench: Bench, template: Template, read_secret: ReadSecret, *, ready: Ready = lambda _: None) -> Outcome:
    """The new template, tested; one that is there already under this name is left alone."""
    factory = _factory(template)
    packer = _packer(bench)
    before = find_template(bench.contract, template, observe(bench.contract, bench.reader))
    if not isinstance(before, Refusal):
        raise Unsafe(
            tried="build a template",
            on=template.name,
            happened=f"it is there already (VM {before.vmid}); nothing was changed",
            do=f"Give the new version a name of its own, in the factory and in {template.declared}",
        )
    _run(bench, factory, packer, _environment(bench, factory, read_secret))
    return examine(bench, template, ready=ready)


def _factory(template: Template) -> Factory:
    factory = template.factory
    if factory is None:
        raise Invalid(
            tried="build a template",
            on=template.name,
            happened="the inventory names no image factory for it",
            do=f"Declare factory (folder, file) in {template.declared}",
        )
    if not (factory.folder / factory.file).is_file():
        raise Missing(
            tried="build a template",
            on=str(factory.folder / factory.file),
            happened="there is no such file",
            do=f"Check the image factory out there, or correct factory in {template.declared}",
        )
    return factory


def _packer(bench: Bench) -> str:
    packer = shutil.which("packer")
    if packer is None:
        raise Missing(
            tried="build a template",
            on="this machine",
            happened="packer is not installed",
            do="Install packer and the factory's plugins (`packer init`), or bring a finished image: "
            + bench.contract.invoke("template.import"),
        )
    return packer


def _environment(bench: Bench, factory: Factory, read_secret: ReadSecret) -> dict[str, str]:
    """What the factory's own variables are called; the token's secret goes no other way."""
    hypervisor = bench.contract.hypervisor
    given = {
        **os.environ,
        "CHECKPOINT_DISABLE": "1",  # packer would ask its maker for news
        "TF_VAR_proxmox_url": f"{hypervisor.api.url}/api2/json",
        "TF_VAR_proxmox_node": hypervisor.node,
        "PKR_VAR_proxmox_url": f"{hypervisor.api.url}/api2/json",
        "PKR_VAR_proxmox_node": hypervisor.node,
    }
    if factory.token is not None:
        secret = read_secret(factory.token).reveal()
        for prefix in ("TF_VAR", "PKR_VAR"):
            given[f"{prefix}_proxmox_token_id"] = factory.token.id
            given[f"{prefix}_proxmox_token_secret"] = secret
    return given


def _run(bench: Bench, factory: Factory, packer: str, environment: dict[str, str]) -> None:
    argv = [packer, "build", "-color=false", factory.file]
    bench.say(f"packer build {factory.file}, in {factory.folder}")
    secrets = {value for name, value in environment.items() if name.endswith("_token_secret")}
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        argv,
        cwd=factory.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        assert running.stdout is not None  # noqa: S101 - it is a pipe
        for line in running.stdout:
            said = _without(hide_secrets(line.rstrip()), secrets)
            tail.append(said)
            bench.say(f"  {said}")
        status = running.wait()
    if status != 0:
        raise HarnessError(
            tried="build a template",
            on=str(factory.folder / factory.file),
            happened=f"packer ended with {status}; its last words: {' | '.join(tail) or 'none'}",
            do="Correct what packer names; what it left on the hypervisor is its own to remove",
        )


def _without(line: str, secrets: set[str]) -> str:
    for secret in secrets:
        line = line.replace(secret, "[hidden]") if secret else line
    return line
