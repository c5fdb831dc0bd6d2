"""The end signal is what Ctrl-C is, as long as a verb says so."""

import os
import signal

import pytest

from flows.end_signal import end_signal_as_ctrl_c


def test_the_end_signal_interrupts_and_what_it_did_before_it_does_again() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def wait_for_it() -> None:
        with end_signal_as_ctrl_c():
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    with pytest.raises(KeyboardInterrupt):
        wait_for_it()
    assert signal.getsignal(signal.SIGTERM) is before
