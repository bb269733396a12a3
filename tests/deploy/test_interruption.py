"""A measurement that is asked to stop hears of it, wherever the signal finds it."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest

from deploy import interruption
from deploy.interruption import SIGNALS, interruptible, stopping


@pytest.mark.parametrize("sig", SIGNALS, ids=lambda sig: sig.name)
def test_each_signal_interrupts(sig: signal.Signals) -> None:
    with interruptible(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(sig)


def test_a_second_signal_changes_nothing() -> None:
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        stopping()


def test_what_a_finaliser_swallowed_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an object that is being thrown away when the signal comes, where Python only notes what is raised
    monkeypatch.setattr(interruption, "AGAIN_SECONDS", 0.05)
    noted: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: noted.append(args.exc_type))

    class Thrown:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with interruptible():
        thrown = Thrown()
        del thrown
        assert noted == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)


def test_nobody_is_interrupted_while_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "AGAIN_SECONDS", 0.05)
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        stopping()
        signal.raise_signal(signal.SIGHUP)
        time.sleep(0.1)


def test_afterwards_the_signals_mean_what_they_meant() -> None:
    before = [signal.getsignal(sig) for sig in (*SIGNALS, signal.SIGALRM)]
    with interruptible():
        assert [signal.getsignal(sig) for sig in SIGNALS] != before[:-1]
    assert [signal.getsignal(sig) for sig in (*SIGNALS, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
