"""Where a run keeps its state on pytest's config."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.contract import Contract
from harness.report.model import Report
from harness.verify.run_record import RunRecord
from harness.verify.site_view import SiteView
from harness.verify.trips import Trips

CONTRACT = pytest.StashKey[Contract]()  # may be given before pytest_configure; otherwise --site and --inventory load it
TRIPS = pytest.StashKey[Trips]()  # may be given: the round trips of a run that has begun already
RECORD = pytest.StashKey[RunRecord]()
SITE = pytest.StashKey[SiteView]()
PINNED = pytest.StashKey[Callable[[], str]]()  # how the web interface must identify itself
REPORT = pytest.StashKey[Report]()
