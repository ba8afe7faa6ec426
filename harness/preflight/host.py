"""Judge the hypervisor's Debian: release, cluster, hardware, package system, space, repositories. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from harness.contract import Contract, Hypervisor
from harness.preflight.model import Finding, failed, note, ok, unknown
from harness.verify import allowances
from harness.verify.batch import Answer, Answers
from harness.verify.host_facts import HostFacts

# What an upgrade of PVE's own packages downloads and unpacks, with as much again to spare.
LEAST_FREE_KIB = 1 << 20
LEAST_FREE_INODES = 10_000

_NOT_FETCHED = re.compile(r"^[EW]: Failed to fetch (\S+)\s+(.*)$", re.M)
_NO_REPOSITORY = re.compile(r"^[EW]: The repository '([^']+)' (.*)$", re.M)
_ANSWERED = re.compile(r"^(?:Hit|Get|Ign|Err):\d+ ", re.M)


def judge_release(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    """The series must be the declared one; the exact version is bootstrap's to bring."""
    name, seen, wanted = hypervisor.name, facts.pve_manager, hypervisor.pve_version
    base = f"{facts.distribution} {facts.release} ({facts.codename})"
    do = f"Install {name} from the ISO of Proxmox VE {_series(wanted)}, or mend mgmt_hypervisor ({hypervisor.declared})"
    if seen is None:
        yield failed(f"{name} runs {base} without pve-manager: it is no Proxmox VE host", do)
    elif _series(seen) != _series(wanted):
        yield failed(f"{name} runs pve-manager {seen} on {base}; this tool is for {_series(wanted)} here", do)
    elif (facts.distribution, facts.codename) != ("debian", hypervisor.debian_codename):
        yield failed(f"{name} runs {base}, declared is Debian {hypervisor.debian_codename}", do)
    elif facts.architecture != hypervisor.architecture:
        yield failed(f"{name} is {facts.architecture}, declared is {hypervisor.architecture}", do)
    elif seen != wanted:
        yield note(f"pve-manager {seen} is installed, declared is {wanted}: bootstrap brings it there")
    else:
        yield ok(f"pve-manager {seen} on {base}")


def judge_alone(hypervisor: Hypervisor, facts: HostFacts, cluster_name: str) -> Iterator[Finding]:
    name = hypervisor.name
    if facts.corosync_files:
        said = (
            f"{name} is a member of the cluster {cluster_name or 'without a name'} ({', '.join(facts.corosync_files)})"
        )
        yield failed(said, "Choose a stand-alone host: this tool never changes a cluster member")
    elif facts.corosync_state not in ("inactive", ""):
        do = f"Look on {name} with `systemctl status corosync` why it runs"
        yield failed(f"corosync is {facts.corosync_state} on {name}, though nothing configures it", do)
    else:
        yield ok(f"{name} is in no cluster")


# --- hardware ------------------------------------------------------------------------------------------------------


def judge_memory(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    seen = f"the kernel has {allowances.show_gib(facts.memory_bytes)}"
    wanted = allowances.describe_memory(hypervisor.hardware)
    enough = facts.memory_bytes >= allowances.least_memory_bytes(hypervisor.hardware)
    yield ok(seen) if enough else _short(hypervisor, seen, wanted)


def judge_disk(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    seen = ", ".join(str(disk) for disk in facts.disks) or "no disk is seen"
    enough = allowances.has_disk(facts.disks, hypervisor.hardware)
    yield ok(seen) if enough else _short(hypervisor, seen, allowances.describe_disk(hypervisor.hardware))


def judge_nic(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    seen = ", ".join(str(nic) for nic in facts.nics) or "no physical link is seen"
    enough = allowances.has_nic(facts.nics, hypervisor.hardware)
    yield ok(seen) if enough else _short(hypervisor, seen, allowances.describe_nic(hypervisor.hardware))


def judge_model(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    """Product and processor, as far as the inventory declares them."""
    hardware = hypervisor.hardware
    said = [
        ("product", hardware.product, facts.product if hardware.product else "", _contains),
        ("processor", hardware.cpu_model, facts.cpu_model if hardware.cpu_model else "", _contains),
        ("cores", hardware.cores, facts.cores if hardware.cores else 0, _equal),
        ("threads", hardware.threads, facts.threads if hardware.threads else 0, _equal),
    ]
    declared = [one for one in said if one[1] is not None]
    wrong = [one for one in declared if not one[3](one[1], one[2])]
    for what, wanted, seen, _ in wrong:
        yield _short(hypervisor, f"{what} {seen}", f"{what} {wanted}")
    if not wrong:
        yield ok(", ".join(f"{what} {seen}" for what, _, seen, _ in declared) or "the inventory declares no model")


def judge_virtualization(hypervisor: Hypervisor, facts: HostFacts) -> Iterator[Finding]:
    if facts.virtualization_flags and facts.kvm_opens:
        yield ok(f"{', '.join(sorted(facts.virtualization_flags))}, and /dev/kvm opens")
        return
    seen = "the processor shows neither vmx nor svm" if not facts.virtualization_flags else "/dev/kvm does not open"
    yield failed(f"{hypervisor.name}: {seen}", "Switch VT-x or AMD-V on in the firmware; in a VM, give it `cpu: host`")


def _short(hypervisor: Hypervisor, seen: str, wanted: str) -> Finding:
    do = f"Use the declared machine, mend mgmt_hypervisor.hardware ({hypervisor.declared}), or waive the clause"
    return failed(f"{hypervisor.name}: {seen}; declared is {wanted}", do)


def _contains(wanted: object, seen: object) -> bool:
    return str(wanted) in str(seen)


def _equal(wanted: object, seen: object) -> bool:
    return wanted == seen


def _series(version: str) -> str:
    """`8.4.1` and `8.4.21~pre` are both 8.4."""
    return ".".join(version.split(".")[:2])


# --- packages ------------------------------------------------------------------------------------------------------


def judge_packages(host: str, answers: Answers) -> Iterator[Finding]:
    """Nothing half installed, nothing interrupted, every dependency there."""
    interrupted, audit, check = (answers.answer(name) for name in ("interrupted", "audit", "dependencies"))
    half = [line.split()[0] for line in audit.output.splitlines() if line.startswith(" ") and line.strip()]
    if interrupted.output.strip():
        yield failed(f"dpkg was interrupted on {host}", f"Run `dpkg --configure -a` on {host}")
    if half:
        yield failed(f"dpkg on {host} is not done with {', '.join(half)}", f"Run `dpkg --configure -a` on {host}")
    elif audit.rc or audit.output.strip():
        yield failed(f"`dpkg --audit` on {host} says: {_first(audit)}", f"Mend it on {host}")
    if check.rc:
        yield failed(
            f"dependencies are broken on {host}: {_first(check)}", f"Run `apt-get --fix-broken install` on {host}"
        )
    if not (interrupted.output.strip() or audit.output.strip() or audit.rc or check.rc):
        yield ok("every package is whole")


def judge_space(host: str, answers: Answers) -> Iterator[Finding]:
    rows = {row[5]: row for row in _table(answers.text("space"))}
    inodes = {row[5]: row for row in _table(answers.text("inodes"))}
    short = [place for place, row in rows.items() if int(row[3]) < LEAST_FREE_KIB]
    # Some file systems count no inodes: their total is 0 or a dash.
    crowded = [
        place for place, row in inodes.items() if row[1].isdigit() and int(row[1]) and int(row[3]) < LEAST_FREE_INODES
    ]
    for place in short:
        said = f"{place} of {host} has {int(rows[place][3]) // 1024} MiB free, needed are {LEAST_FREE_KIB // 1024}"
        yield failed(
            said, f"Free space there: `apt-get clean` and `journalctl --vacuum-size=200M` on {host} are a start"
        )
    for place in crowded:
        yield failed(
            f"{place} of {host} has {inodes[place][3]} inodes free", f"Find and remove heaps of files on {host}"
        )
    if not short and not crowded:
        yield ok(", ".join(f"{place} {int(row[3]) >> 20} GiB free" for place, row in rows.items()))


def judge_own_name(hypervisor: Hypervisor, answer: Answer) -> Iterator[Finding]:
    """PVE's own file system starts only when the host's name leads to an address that is not loopback."""
    name, *addresses = answer.output.split() or [hypervisor.name]
    do = f"Write `{hypervisor.address} {hypervisor.fqdn} {hypervisor.node}` into /etc/hosts of {hypervisor.name}"
    if name.partition(".")[0] != hypervisor.node:
        do = f"Set the host name, or mend mgmt_hypervisor.node ({hypervisor.declared})"
        yield failed(f"{hypervisor.name} calls itself {name}, declared is the node {hypervisor.node}", do)
    elif str(hypervisor.address) not in addresses:
        led = ", ".join(addresses) or "nothing"
        yield failed(f"on {hypervisor.name} the name {name} leads to {led}, declared is {hypervisor.address}", do)
    else:
        yield ok(f"{name} is {hypervisor.address}")


def judge_repositories(contract: Contract, answer: Answer) -> Iterator[Finding]:
    """What apt said of each repository that did not answer."""
    host, bootstrap = contract.hypervisor.name, contract.invoke("bootstrap")
    wrong = {url: why.strip() for url, why in _NOT_FETCHED.findall(answer.output)}
    wrong |= {url: why.strip() for url, why in _NO_REPOSITORY.findall(answer.output) if not _told(url, wrong)}
    for url, why in wrong.items():
        do = f"Start it; {bootstrap} switches off what is not declared in sources.list.d of {host}"
        if re.search(r"\b40[13]\b", why):  # it asks for a subscription that is not there
            do = f"Run {bootstrap}, which switches it off, or do so in /etc/apt/sources.list.d of {host}"
        yield failed(f"a package repository of {host} does not answer: {url}: {why}", do)
    if wrong:
        return
    if answer.rc:
        yield unknown(
            f"`apt-get update` on {host} ended with {answer.rc}: {_last(answer)}", f"Run it on {host} by hand"
        )
    elif not _ANSWERED.search(answer.output):
        do = f"Run {bootstrap}, which switches on the declared ones"
        yield failed(f"apt on {host} has no repository at all", do)
    else:
        yield ok(f"{len(_ANSWERED.findall(answer.output))} answers from the repositories of {host}")


def artifact_servers(contract: Contract) -> list[tuple[str, int]]:
    """Where plain HTTP is fetched from: the name the site gives its artifacts, and the package repositories."""
    name = f"artifacts.{contract.domain}"
    named = [(name, 80)] if any(record.name == name for record in contract.records) else []
    packages = contract.hypervisor.packages
    urls = [urlsplit(word) for line in (packages.repositories if packages else ()) for word in line.split()]
    fetched = [(url.hostname, url.port or 80) for url in urls if url.scheme == "http" and url.hostname]
    return list(dict.fromkeys([*named, *fetched]))


def judge_artifacts(host: str, answer: Answer) -> Iterator[Finding]:
    first = answer.output.strip().splitlines()[:1]
    status = re.match(r"HTTP/\d(?:\.\d)? (\d{3})", first[0]) if first else None
    if status and int(status[1]) < 500:
        yield ok(f"{host} answers {status[1]}")
    else:
        said = f"the hypervisor gets no web answer from {host}: {first[0] if first else f'silence ({answer.rc})'}"
        yield failed(said, f"Start the artifact server, and look whether the hypervisor resolves and reaches {host}")


def _told(repository: str, wrong: Iterable[str]) -> bool:
    """apt says twice that a Release file is not to be had: by its address, and by the repository's line."""
    base = repository.split(" ", 1)[0].rstrip("/")
    return any(url.startswith(base) for url in wrong)


def _table(text: str) -> Iterator[list[str]]:
    """The rows of `df -P` below its head, one for each mount point."""
    seen = set()
    for line in text.splitlines()[1:]:
        row = line.split(None, 5)
        if len(row) == 6 and row[5] not in seen:
            seen.add(row[5])
            yield row


def _first(answer: Answer) -> str:
    return next(iter(answer.output.strip().splitlines()), f"status {answer.rc}")


def _last(answer: Answer) -> str:
    return next(reversed(answer.output.strip().splitlines()), "no output")
