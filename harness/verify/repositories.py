"""Write a package repository as one line, the declared one as the one apt says it uses, so that they compare: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.errors import Invalid

_LINE = re.compile(r"(?P<kind>deb|deb-src)\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)")


def show_repository(kind: str, uri: str, suite: str, component: str) -> str:
    return f"{kind} {uri.rstrip('/')} {suite} {component}".rstrip()


def parse_repositories(lines: Iterable[str]) -> frozenset[str]:
    """Lines as in sources.list; one with several components counts as several repositories."""
    return frozenset(one for line in lines for one in _parse(line))


def _parse(line: str) -> Iterator[str]:
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise Invalid(
            tried="compare the package repositories",
            on=f"the declared line {line!r}",
            happened="it is no line of sources.list",
            do="Write it as `deb [options] address suite components` in mgmt_hypervisor.packages.repositories",
        )
    for component in found["components"].split() or [""]:
        yield show_repository(found["kind"], found["uri"], found["suite"], component)
