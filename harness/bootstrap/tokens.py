"""Fetch the secrets that wait on the hypervisor, keep them where the inventory says, and pin its certificate."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

from harness import probe
from harness.bootstrap.grants import accounts
from harness.bootstrap.storing import store_secret, where, write_private
from harness.bootstrap.variables import TOKEN_FOLDER
from harness.contract import Contract, SecretRef
from harness.errors import Missing, Refused, Untrusted
from harness.evidence import Secret
from harness.remote.ssh import Result
from harness.secrets import read_secret
from harness.site import open_reader, open_writer

Run = Callable[[str], Result]


def fetch_tokens(contract: Contract, run: Run) -> Iterator[str]:
    """Take what waits, store it, and only then forget it there; a sentence for each."""
    for account in accounts(contract):
        file = shlex.quote(f"{TOKEN_FOLDER}/{account.purpose}")
        answer = run(f"test ! -e {file} || cat {file}")
        if not answer.stdout.strip():
            continue
        ref = contract.hypervisor.api.tokens[account.purpose].secret
        store_secret(ref, _value(contract, account.full_token, answer.stdout), base=contract.site_folder)
        run(f"rm -f {file}")
        yield f"The secret of {account.full_token} is kept in {where(ref)}"


def _value(contract: Contract, token: str, answer: str) -> Secret:
    try:
        told = json.loads(answer)
        if told["full-tokenid"] == token:
            return Secret(told["value"])
    except (ValueError, KeyError, TypeError):
        pass  # not `from` it: it carries the secret
    raise Refused(
        tried="fetch the secret of a token",
        on=contract.hypervisor.name,
        happened=f"what PVE answered when it made {token} is no token of that name",
        do=f"Make new ones: {contract.invoke('bootstrap --rotate-tokens')}",
    ) from None


def pin_certificate(contract: Contract, run: Run) -> Iterator[str]:
    """Read the certificate's fingerprint over SSH and keep it where the inventory refers to it."""
    api, node = contract.hypervisor.api, contract.hypervisor.node
    if api.ca_file is not None:
        if not api.ca_file.exists():
            write_private(api.ca_file, _read(contract, run, "cat /etc/pve/pve-root-ca.pem"))
            yield f"The CA of the hypervisor is kept in {api.ca_file}"
        return
    folder = shlex.quote(f"/etc/pve/nodes/{node}")
    command = (
        f"cd {folder} && if [ -e pveproxy-ssl.pem ]; then file=pveproxy-ssl.pem; else file=pve-ssl.pem; fi && "
        'openssl x509 -noout -fingerprint -sha256 -in "$file"'
    )
    there = _read(contract, run, command).strip().partition("=")[2]
    shown = probe.tls_fingerprint(api.url)
    if shown != there:
        raise Untrusted(
            tried="pin the certificate",
            on=api.url,
            happened=f"it shows {shown}, and the hypervisor's own file has {there}",
            do="Look what answers at that address; if it is the hypervisor: systemctl restart pveproxy",
        )
    yield from _keep_fingerprint(contract, there)


def _keep_fingerprint(contract: Contract, there: str) -> Iterator[str]:
    declared = contract.hypervisor.api.fingerprint
    if isinstance(declared, SecretRef):
        if declared.kind == "file":
            file = contract.site_folder / str(declared.value)
            if not file.exists() or file.read_text().strip() != there:
                write_private(file, f"{there}\n")
                yield f"The certificate's fingerprint is kept in {file}"
            return
        declared = read_secret(declared, base=contract.site_folder).reveal()
    if declared != there:
        raise Untrusted(
            tried="pin the certificate",
            on=contract.hypervisor.api.url,
            happened=f"the inventory declares {declared}, and the hypervisor's own file has {there}",
            do="Write that to mgmt_hypervisor.api.fingerprint",
        )


def prove_tokens(contract: Contract) -> None:
    """Each declared token is let in by PVE."""
    for account in accounts(contract):
        opened = open_reader(contract) if account.purpose == "verify" else open_writer(contract)
        try:
            opened.get("/access/permissions")
        except Refused as cause:
            ref = contract.hypervisor.api.tokens[account.purpose].secret
            raise Refused(
                tried=f"use the token {account.full_token}",
                on=contract.hypervisor.api.url,
                happened=f"PVE does not take the secret in {where(ref)}",
                do=f"Bring the right one there, or make new ones: {contract.invoke('bootstrap --rotate-tokens')}",
            ) from cause


def _read(contract: Contract, run: Run, command: str) -> str:
    ended = run(command)
    if ended.succeeded and ended.stdout.strip():
        return ended.stdout
    raise Missing(
        tried="read the certificate",
        on=contract.hypervisor.name,
        happened=ended.stderr.strip() or "it is empty",
        do="On the hypervisor: pvecm updatecerts && systemctl restart pveproxy",
    )
