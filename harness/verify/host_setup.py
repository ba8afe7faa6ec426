"""What the hypervisor's Debian is set up to do: package sources, pins, sshd, clock, nested virtualization."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.verify.batch import Answers
from harness.verify.repositories import show_repository

# What sshd would take from where we stand; root reads the files, and no daemon is asked.
_SSHD = """client=${SSH_CONNECTION%% *}
/usr/sbin/sshd -T -C "user=root,host=${client:-localhost},addr=${client:-127.0.0.1}\""""

# Without --no-release-info apt leaves out what it never fetched, such as a repository that wants a subscription.
_REPOSITORIES = "apt-get indextargets --no-release-info --format '$(TARGET_OF) $(REPO_URI) $(RELEASE) $(COMPONENT)'"

# A clock that was started a moment ago needs some seconds to choose its server; one in step does not wait at all.
# Where chrony does not run, nothing keeps the clock: that is an answer, too.
_CLOCK = """state=$(systemctl show --property=ActiveState --value chrony.service) || exit
test "$state" = active || exit 0
chronyc waitsync 8 0 0 1 >/dev/null
chronyc -c -N sources"""

_NESTED_OPTIONS = """cat /etc/modprobe.d/*.conf /usr/lib/modprobe.d/*.conf 2>/dev/null |
  grep -E '^[[:space:]]*options[[:space:]]+kvm[-_](intel|amd)[[:space:]]'
test $? -le 1"""
_NESTED_RUNS = """for module in kvm_intel kvm_amd; do
  file=/sys/module/$module/parameters/nested
  if test -e "$file"; then cat "$file" || exit; fi
done"""

COMMANDS = {
    "repositories": _REPOSITORIES,
    "pins": "apt-cache policy pve-manager",
    "held": "apt-mark showhold",
    "sshd": _SSHD,
    "clock": _CLOCK,
    "nested-options": _NESTED_OPTIONS,
    "nested-runs": _NESTED_RUNS,
}
# apt's own limit: from here on it also takes back a newer version that is installed.
KEEPS = 1000


@dataclass(frozen=True)
class HostSetup:
    """The hypervisor's answers, parsed when a check reads them."""

    answers: Answers

    @property
    def held_packages(self) -> frozenset[str]:
        return frozenset(self.answers.text("held").split())

    @property
    def repositories(self) -> frozenset[str]:
        """Every enabled package source as apt itself understands it: `deb http://host/path suite component`."""
        rows = (line.split() for line in self.answers.text("repositories").splitlines() if line)
        # A flat repository has no component, and apt then leaves the placeholder as it is.
        return frozenset(
            show_repository(kind, uri, suite, "" if part == "$(COMPONENT)" else part) for kind, uri, suite, part in rows
        )

    @property
    def pinned_versions(self) -> frozenset[str]:
        """The versions of pve-manager that apt would keep, or even go back to, whatever else is offered."""
        rows = re.findall(r"^ (?:\*\*\*|   ) (\S+) (-?\d+)$", self.answers.text("pins"), re.M)
        return frozenset(version for version, priority in rows if int(priority) >= KEEPS)

    @property
    def sshd(self) -> Mapping[str, str]:
        """sshd's effective settings; of keys that are given more than once, the last."""
        pairs = (line.partition(" ") for line in self.answers.text("sshd").splitlines())
        return {key: value for key, _, value in pairs}

    @property
    def clock_sources(self) -> Mapping[str, bool]:
        """chrony's servers under the names they were given, and whether the clock follows them now."""
        rows = (line.split(",") for line in self.answers.text("clock").splitlines() if line)
        return {row[2]: row[1] == "*" for row in rows}

    @property
    def nested_asked(self) -> bool:
        """Whether the module's options ask for VMs in VMs."""
        return bool(re.search(r"\bnested=[1Yy]", self.answers.text("nested-options")))

    @property
    def nested_runs(self) -> bool:
        """Whether a loaded KVM module lets VMs run VMs."""
        return bool(set(self.answers.text("nested-runs").split()) & {"1", "Y", "y"})
