"""What must not be cut off is not, and what is told to end ends as after Ctrl-C."""

from __future__ import annotations

import signal

import pytest

from harness.interrupts import SIGNALS, as_interrupts, uninterrupted


@pytest.mark.parametrize("which", SIGNALS)
def test_undoing_is_not_cut_off(which: signal.Signals) -> None:
    handler = signal.getsignal(which)
    with uninterrupted():
        signal.raise_signal(which)
    assert signal.getsignal(which) == handler


@pytest.mark.parametrize("which", SIGNALS)
def test_being_told_to_end_is_an_interrupt(which: signal.Signals) -> None:
    handler = signal.getsignal(which)
    with pytest.raises(KeyboardInterrupt), as_interrupts():
        signal.raise_signal(which)
    assert signal.getsignal(which) == handler


def test_a_second_signal_does_not_cut_off_what_the_first_began() -> None:
    undone: list[str] = []
    with pytest.raises(KeyboardInterrupt), as_interrupts():
        _change_and_undo(undone)
    assert undone == ["the change"]


def _change_and_undo(undone: list[str]) -> None:
    try:
        signal.raise_signal(signal.SIGHUP)
    finally:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            undone.append("the change")
