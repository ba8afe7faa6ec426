"""A lab and a nested hypervisor are made as new machines: what is remembered of the former ones is over."""

from __future__ import annotations

import shutil

from harness.contract import Contract
from harness.drills.record import folder_of
from harness.embedded import is_of_lab
from harness.errors import Refused
from harness.journal import journal_of


def forget_former(contract: Contract) -> None:
    """No drill has been run on the new machine, and nothing has been begun there.

    Where the inventory describes a machine that is not made here, all is kept.
    """
    if contract.nested is None and not is_of_lab(contract.hypervisor.ssh.identity_file):
        return
    for folder in (folder_of(contract.state_dir), journal_of(contract).folder):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(
                tried="forget what was done on the machine before",
                on=str(folder),
                happened=str(error),
                do="Remove that folder, then run the same command again",
            ) from error
