"""A dnsmasq that is open for change: its files over SSH, each written whole, and one reload or restart for all."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import errors
from harness.contract import Contract
from harness.routers.dnsmasq import DNS_FILE, RESERVATIONS_FILE, main_file
from harness.routers.dnsmasq_edit import edit, may_change
from harness.routers.dnsmasq_files import Served, observe, read_files, read_served
from harness.routers.observed import ObservedRouter, Shell
from harness.routers.port import Changes, Snapshot

SCRIPT = Path(__file__).with_name("put_files.sh")


@dataclass(frozen=True)
class DnsmasqRouter:
    """The dnsmasq that reads the site's own configuration file, or its folder."""

    contract: Contract
    shell: Shell

    def observe(self) -> ObservedRouter:
        return observe(self.contract.router.name, self.shell)

    def snapshot(self) -> Snapshot:
        """The text of every file that a write may change, None for one of ours that is not there yet."""
        served, texts = self._look()
        return {path: texts[path] for path in (*self._own(), *may_change(self.contract, served))}

    def write(self, changes: Changes) -> None:
        served, before = self._look()
        there = {path: text for path, text in before.items() if text is not None}
        after: Mapping[str, str | None] = edit(self.contract, served, there, changes)
        if after:
            self._put(served, before, after)

    def restore(self, before: Snapshot) -> None:
        """Nothing is done where the files stand as before: a write that fails puts them back, and activates them."""
        served, now = self._look()
        after = {path: text for path, text in before.items() if now.get(path) != text}
        if after:
            self._put(served, now, after)

    def _own(self) -> tuple[str, ...]:
        return main_file(self.contract.site), RESERVATIONS_FILE, DNS_FILE

    def _look(self) -> tuple[Served, dict[str, str | None]]:
        name = self.contract.router.name
        served = self._ours(read_served(name, self.shell))
        there = read_files(name, self.shell, self._own())
        texts = {path: there.get(path) for path in self._own()}
        return served, {**texts, **served.config, **served.reservations, **served.names}

    def _ours(self, running: list[Served]) -> Served:
        """Other dnsmasq on the same machine (a hypervisor's own network, say) are not ours to touch."""
        main = PurePosixPath(main_file(self.contract.site))
        places = {str(main), str(main.parent)}
        ours = [one for one in running if places & {source.partition(",")[0].rstrip("/") for source in one.sources}]
        if len(ours) == 1:
            return ours[0]
        raise errors.Refused(
            tried="find the dnsmasq of this site",
            on=self.contract.router.name,
            happened=f"{len(ours)} of {len(running)} that run there read {main.parent}",
            do=f"Let exactly one read it: conf-dir={main.parent}/,*.conf in its configuration",
        )

    def _put(self, served: Served, before: Mapping[str, str | None], after: Mapping[str, str | None]) -> None:
        main = {*served.config, main_file(self.contract.site)}
        how = "restart" if main & set(after) else "reload"
        lines = [f"{path} {_packed(text)} {_packed(before.get(path))}" for path, text in after.items()]
        command = f"sh -c {shlex.quote(SCRIPT.read_text())} sh {how} {shlex.join(served.arguments)}"
        answer = self.shell(command, stdin="\n".join([*lines, "end", ""]))
        if answer.rc != 0:
            raise errors.HarnessError(
                tried=f"write {', '.join(after) or 'nothing'} and {how} dnsmasq",
                on=self.contract.router.name,
                happened=" ".join(answer.stderr.split()) or f"the command ended with {answer.rc}",
                do="Look at dnsmasq's journal there, then run the same command again",
            )


def _packed(text: str | None) -> str:
    return "-" if text is None else f"b:{base64.b64encode(text.encode()).decode()}"
