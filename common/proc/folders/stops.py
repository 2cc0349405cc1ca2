"""The stop requests of a host's jobs: durable before their supervisor is woken, and the evidence of an end."""

from __future__ import annotations

from common.codec import CodecError
from common.files import read_regular, write_durable
from common.ids import Jid
from common.proc.folders.quarantine import Quarantine
from common.proc.layout import Layout
from common.proc.record import StopRequest, decode_stops, encode_stops
from common.proc.requests import LIMIT

STOPS_PER_JOB = 100


class Stops:
    """One file for each job that somebody wanted to stop."""

    def __init__(self, layout: Layout, quarantine: Quarantine) -> None:
        self._layout = layout
        self._quarantine = quarantine

    def append(self, jid: Jid, request: StopRequest) -> bool:
        """Make a request durable; False when it was there already. Raises OSError.

        Past a hundred the oldest goes, but never the first that ends the job: that one is its evidence.
        """
        stops = self.read(jid)
        if any(known.stop == request.stop for known in stops):
            return False
        if len(stops) >= STOPS_PER_JOB:
            first = next((known for known in stops if known.how != "signal"), None)
            stops.remove(next(known for known in stops if known is not first))
        write_durable(self._layout.stops_of(jid), encode_stops([*stops, request]))
        return True

    def read(self, jid: Jid) -> list[StopRequest]:
        """The requests of a job, oldest first; none when the file was damaged, which then is in quarantine.

        Raises OSError.
        """
        path = self._layout.stops_of(jid)
        try:
            return decode_stops(read_regular(path, LIMIT))
        except FileNotFoundError:
            return []
        except (ValueError, CodecError) as error:
            self._quarantine.take(path, str(error))
            return []

    def forget(self, jid: Jid) -> None:
        """Remove those of a job whose end is known. Not made durable. Raises OSError."""
        self._layout.stops_of(jid).unlink(missing_ok=True)
