"""Run specs as clauses of a site's contract: options, parametrisation, verdicts and outputs for pytest."""

from __future__ import annotations

import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from harness.contract import Contract
from harness.errors import HarnessError
from harness.inventory.models import RESPONSIBILITIES
from harness.report import outputs
from harness.report.background import look_back
from harness.report.model import Report
from harness.site import open_contract, open_reader
from harness.verify.ahead import look_ahead, look_at_everything
from harness.verify.certificate import read_pin
from harness.verify.chain import chains_of
from harness.verify.clauses import WHOLE, load_clauses
from harness.verify.fixtures import of_this_run
from harness.verify.looks import Looks
from harness.verify.outcome import weigh_phase
from harness.verify.picture import picture_of
from harness.verify.planned import NEEDS_HOSTS, NEEDS_HYPERVISOR, open_trips
from harness.verify.run_record import RunRecord
from harness.verify.selection import (
    MARKS,
    SERVICES,
    is_wanted,
    mark,
    require_guest,
    require_known_waivers,
    services_of,
    tie_specs,
    without_empty,
)
from harness.verify.site_view import SiteView
from harness.verify.stash import CONTRACT, PINNED, RECORD, REPORT, SITE, TRIPS
from harness.verify.trips import Trips

pytest_plugins = ["harness.verify.fixtures", "harness.verify.recovery_fixtures"]

TESTINFRA = "pytest11.testinfra"
CHECKOUT = Path(__file__).resolve().parent.parent
SELECTING = {
    "--profile": "profile",
    "--guest": "guest",
    "-k": "keyword",
    "-m": "markexpr",
}  # options that choose among the specs


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # Its fixture `host` would be this very machine; a spec's host is the one its contract is about.
    pluginmanager.set_blocked(TESTINFRA)
    group = parser.getgroup("contract", "the contract of a site")
    group.addoption("--site", default="lab", help="the site to look at (default: lab)")
    group.addoption("--inventory", type=Path, default=CHECKOUT / "inventory", help="the folder of all sites")
    group.addoption(
        "--clause", action="append", default=[], metavar="ID", help="only this clause, or all below a prefix"
    )
    group.addoption("--profile", default=None, metavar="NAME", help="a view of the contract (default: the site's own)")
    group.addoption("--guest", default=None, metavar="NAME", help="only the checks of this guest")
    for kind, what in outputs.KINDS.items():
        group.addoption(f"--{kind}", type=Path, metavar="FILE", dest=f"contract_{kind}", help=f"write {what}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin(TESTINFRA):
        raise pytest.UsageError("testinfra's own plugin was loaded first: load this one with -p harness.pytest_plugin")
    config.addinivalue_line("markers", "clause(id): the promise of clauses.yml this spec proves")
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    try:
        record = config.stash[RECORD] = _start(config)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    trips = config.stash.get(TRIPS, None) or open_trips(record.contract, record.looks, record.clauses.file.parent)
    view = config.stash[SITE] = _view(record, trips)
    config.pluginmanager.register(of_this_run(config))
    config.stash[PINNED] = lambda: read_pin(
        record.contract.hypervisor.api, config.getoption("inventory") / record.contract.site
    )
    if TRIPS in config.stash:
        look_at_everything(view)
    record.count_trips = view.count_trips
    record.list_retries = view.list_retries
    guests = [guest for guest in record.contract.guests if record.guest in (None, guest.name)]
    record.follow_chains = partial(chains_of, view, guests)
    record.draw = partial(picture_of, view)
    config.add_cleanup(view.close)


def _start(config: pytest.Config) -> RunRecord:
    """Everything that can be wrong with the request is found here, before anything is looked at."""
    folder, whole = _specs(config)
    clauses = load_clauses(folder / "clauses.yml")
    contract = _contract(config)
    profile = clauses.profile(config.getoption("profile"), contract.authority)
    chosen = clauses.select(config.getoption("clause"), profile)
    require_known_waivers(contract, clauses)
    guest = cast("str | None", config.getoption("guest"))
    if guest is not None:
        require_guest(contract, guest)
    trips = config.stash.get(TRIPS, None)
    return RunRecord(
        looks=trips.looks if trips else Looks(),
        started=trips.started if trips else time.monotonic(),
        contract=contract,
        clauses=clauses,
        chosen=chosen,
        guest=guest,
        whole=whole,
        profile=profile.name,
        selection=_selection(config),
    )


def _selection(config: pytest.Config) -> str:
    """What the user limited the run to, as it was typed."""
    typed = [("--clause", clause) for clause in config.getoption("clause")]
    typed += [(name, config.getoption(option)) for name, option in SELECTING.items()]
    return " ".join(f"{name} {value}" for name, value in typed if value)


def _specs(config: pytest.Config) -> tuple[Path, bool]:
    """The folder of clauses.yml, and whether all of it was named: one file of specs says nothing of the others."""
    for argument in config.args:
        path = Path(argument.partition("::")[0]).resolve()
        folder = path if path.is_dir() else path.parent
        if (folder / "clauses.yml").is_file():
            return folder, path == folder
    return CHECKOUT / "specs", False


def _contract(config: pytest.Config) -> Contract:
    given = config.stash.get(CONTRACT, None)
    return given or open_contract(config.getoption("inventory"), config.getoption("site"))


def _view(record: RunRecord, trips: Trips) -> SiteView:
    """No secret is read: that is left to the first check that needs it."""
    return SiteView(record.contract, record.looks, lambda evidence: open_reader(record.contract, evidence), trips)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A spec that takes one of these names runs once for each that the contract declares."""
    contract = metafunc.config.stash[RECORD].contract
    hypervisor = contract.hypervisor
    declared: dict[str, dict[str, object]] = {
        "guest": {guest.name: guest for guest in contract.guests},
        "template": {template.name: template for template in hypervisor.templates.values()},
        "bridge": {bridge.name: bridge for bridge in hypervisor.bridges},
        "guest_bridge": {guest.nic.bridge: guest.nic.bridge for guest in contract.guests},
        "responsibility": {name: name for name in RESPONSIBILITIES},
    }
    for kind in SERVICES & set(metafunc.fixturenames):
        pairs = services_of(contract, kind)
        ids = [f"{guest.name}-{service.unit}" for guest, service in pairs]
        metafunc.parametrize(("guest", kind), pairs, ids=ids)
        declared.pop("guest")
    for name, values in declared.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(values.values()), ids=list(values))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """First of all plugins: what -k and -m take away later is asserted all the same, only not selected."""
    record = config.stash[RECORD]
    try:
        specs = tie_specs(without_empty(items), record.clauses)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    for spec in specs:
        record.asserted[spec.clause] += 1
        mark(spec, record.clauses.by_id[spec.clause])
    wanted = {spec.item.nodeid: spec for spec in specs if is_wanted(spec, chosen=record.chosen, guest=record.guest)}
    config.hook.pytest_deselected(items=[spec.item for spec in specs if spec.item.nodeid not in wanted])
    items[:] = sorted((spec.item for spec in wanted.values()), key=_wait_of)
    record.specs = wanted


def _wait_of(item: pytest.Item) -> int:
    """What only the API is asked for comes first, and the hypervisor, which listens for DHCP servers, last."""
    asked = set(getattr(item, "fixturenames", ()))
    return 2 if asked & NEEDS_HYPERVISOR else 1 if asked & NEEDS_HOSTS else 0


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.failed:
        lines = str(report.longrepr).strip().splitlines()
        record = collector.config.stash[RECORD]
        record.problems.append(
            f"Specs in {collector.nodeid} could not be loaded: {lines[-1] if lines else 'no reason given'}"
        )
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    record = session.config.stash[RECORD]
    kept = {item.nodeid for item in session.items}
    record.specs = {nodeid: spec for nodeid, spec in record.specs.items() if nodeid in kept}


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Open every connection at once, before the first check waits for one of them."""
    if TRIPS not in session.config.stash and not session.config.option.collectonly and not session.testsfailed:
        _look_ahead(session.config)
    return (yield)


def _look_ahead(config: pytest.Config) -> None:
    record = config.stash[RECORD]
    asked = {nodeid: set(getattr(spec.item, "fixturenames", ())) for nodeid, spec in record.specs.items()}
    if record.contract.hypervisor.hardware.pending is not None:
        asked = {nodeid: names for nodeid, names in asked.items() if "hardware" not in names}
    named = {record.specs[nodeid].guest for nodeid in asked}
    guests = [guest for guest in record.contract.guests if guest.name in named]
    look_ahead(config.stash[SITE], frozenset().union(*asked.values()), guests)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    record = item.config.stash[RECORD]
    record.start_check()
    result = yield
    record.end_check(item.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    outcome = weigh_phase(report, error)
    item.config.stash[RECORD].add_phase(outcome)
    if report.failed and report.when in ("setup", "call"):
        # pytest says "failed" of a call and "error" of a setup. Here wrong is failed and could-not-look is an error,
        # wherever it came up: a fixture may find the VM missing, a spec may meet a host that is gone.
        report.when = "call" if outcome.verdict == "fail" else "setup"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """pytest's own --junitxml takes the properties with the report of the last phase."""
    record = item.config.stash[RECORD]
    spec = record.specs[item.nodeid]
    item.user_properties.append(("clause", spec.clause))
    for fact in record.looks.used():
        item.user_properties.append(("evidence", f"{fact.source}: {fact.asked} -> {fact.answered}"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    config = session.config
    if config.option.collectonly or RECORD not in config.stash or exitstatus == pytest.ExitCode.USAGE_ERROR:
        return  # nothing was looked at, and pytest says why
    record = config.stash[RECORD]
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        record.problems.append("The run itself broke inside pytest; its trace stands above.")
    site = config.stash[SITE]
    site.settle()
    report = config.stash[REPORT] = record.report()
    everything = record.whole and not record.selection and record.profile == WHOLE
    site.trips.remember(whole=everything and not record.left)
    session.exitstatus = report.exit_status
    _write(config, report)


def _write(config: pytest.Config, report: Report) -> None:
    wanted = {kind: config.getoption(f"contract_{kind}") for kind in outputs.KINDS}
    state_dir = config.stash[RECORD].contract.state_dir
    outputs.write(report, {kind: file for kind, file in wanted.items() if file}, lambda: look_back(state_dir, report))
