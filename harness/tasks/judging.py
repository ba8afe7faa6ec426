"""Whether the contract holds, and what a run has found."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import FILES, SITE, end_with, path_of, sites_folder


@task(
    iterable=["clause"],
    help={
        **SITE,
        "guest": "only the checks of this VM",
        "clause": "only this clause, or all below a prefix; may be given again",
        "profile": "a view of the contract: management, tenant-separation or bootstrap-authority",
        "k": "pytest's -k: only checks whose name matches",
        "m": "pytest's -m: only checks with this mark: critical, major, minor, api, host, guest, router, net, drill",
        "json": "write the result to this file; - for standard output",
        **FILES,
        "pytest": "more arguments for pytest, as one string",
    },
)
def verify(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    clause: list[str] | None = None,
    profile: str | None = None,
    guest: str | None = None,
    k: str = "",
    m: str = "",
    json: str | None = None,
    junit: str | None = None,
    html: str | None = None,
    tap: str | None = None,
    prom: str | None = None,
    pytest: str = "",
) -> None:
    """Assert the contract: 0 it holds, 1 a promise is broken, 2 something could not be looked at."""
    import shlex

    from harness.commands.verify import verify as run
    from harness.verify import VerifyOptions

    options = VerifyOptions(
        site=site,
        inventory=sites_folder(inventory),
        clauses=tuple(clause or ()),
        profile=profile,
        guest=guest,
        json=path_of(json),
        html=path_of(html),
        junit=path_of(junit),
        tap=path_of(tap),
        prom=path_of(prom),
        pytest_args=(*(["-k", k] if k else []), *(["-m", m] if m else []), *shlex.split(pytest)),
    )
    end_with(run(options))


@task(
    help={
        "site": SITE["site"],
        "run": "which run: last, previous, green, the start of a name of --list, or a JSON file (default: last)",
        "compare": "BEFORE..AFTER: what changed between two runs",
        "list": "the runs that are kept",
        "open": "open it in the browser",
        "json": "write the result to this file",
        **FILES,
    }
)
def report(
    _: Context,
    site: str = "lab",
    run: str | None = None,
    compare: str | None = None,
    list: bool = False,  # noqa: A002 - the option's name
    open: bool = False,  # noqa: A002 - the option's name
    json: str | None = None,
    junit: str | None = None,
    html: str | None = None,
    tap: str | None = None,
    prom: str | None = None,
) -> None:
    """Make the report of a kept run again, in any form, or compare two: 1 when something is worse."""
    from harness.commands.report import ReportOptions
    from harness.commands.report import report as start

    asked = {"json": json, "junit": junit, "html": html, "tap": tap, "prom": prom}
    files = {kind: Path(file).expanduser() for kind, file in asked.items() if file}
    end_with(start(site, ReportOptions(run, compare, list, open, files)))
