"""Imported before anything else by every command and daemon: what must be settled before slow modules are loaded.

Until a command is ready to handle Ctrl-C, it ends the process without a word. And asyncio is told that there is no TLS:
the bus brings its own encryption, and OpenSSL would cost every agent 4 MiB of memory.
"""

from __future__ import annotations

import signal
import sys
from typing import Any, cast

# None in this place makes `import ssl` an ImportError, which asyncio takes for a Python without TLS.
cast(dict[str, Any], sys.modules).setdefault("ssl", None)

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ready() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, unless the process was told to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
