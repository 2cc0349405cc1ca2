"""Imported before anything slow: until a command is ready to handle Ctrl-C, it ends the process without a word."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ready() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, unless the process was told to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
