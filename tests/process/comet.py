"""A process that never stays: every millisecond or so it is another one, in another session, and its parent is gone.

The hardest thing to sweep. It ends by itself after some seconds, should the test that runs it fail.
"""

from __future__ import annotations

import os
import time

print("up", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
