"""The end of a job that nobody watched to its end: `lost`, with all that can still be said. For agents."""

from __future__ import annotations

import signal

from msgspec import structs

from common import clock
from common.messages import Evidence, Process, Return
from common.proc import remains
from common.proc.ending import SHOWN
from common.proc.layout import Layout
from common.proc.output import excerpt_of_file
from common.proc.processes import Seen
from common.proc.record import JobRecord, StopRequest, fields_of
from common.proc.remains import Remains
from common.states import State


def conclude(record: JobRecord, stops: list[StopRequest], layout: Layout) -> Return:
    """End what is left of a job without a supervisor, and say so. The caller holds the job's lock.

    A job in the middle goes, since nobody could ever tell how it ended; so does one that somebody wanted stopped. What
    a finished payload left behind follows the job's own rule.
    """
    found = remains.look_for(record, layout.state)
    asked = next((request for request in stops if request.how != "signal"), None)
    if found.payload_lived or asked is not None or record.left_behind == "kill":
        remains.end(record, found)
        left: list[Seen] = []
    else:
        left = found.found
    if (group := remains.group_of(record)) is not None:
        group.remove()
    out, err = (excerpt_of_file(path) for path in layout.output_of(record.jid))
    return Return(jid=record.jid, job=fields_of(record), state=State.LOST, stdout=out.data, stderr=err.data,
                  truncated=out.cut or err.cut, accepted=record.accepted, started=record.started, ended=clock.wall(),
                  pid=record.pid, evidence=_evidence(record, found, asked, left))


def _evidence(record: JobRecord, found: Remains, asked: StopRequest | None, left: list[Seen]) -> Evidence:
    evidence = Evidence(
        reason=_reason(record, found), signalled=found.signalled or None, survivors=_listed(found.survivors),
        left_behind=_listed(left), containment=_containment(record), took=found.took,
        boot_id=record.boot_id)
    if asked is None:
        return evidence
    number = signal.SIGKILL if asked.how == "kill" else signal.SIGTERM
    return structs.replace(evidence, by=asked.by[:4000], asked=asked.at, asked_signal=int(number))


def _containment(record: JobRecord) -> str | None:
    """What vouches for it that nothing of the job is left: of an earlier boot nothing can be."""
    if record.boot_id != clock.boot_id():
        return None
    return "unknown" if record.cgroup is None else "cgroup"


def _reason(record: JobRecord, found: Remains) -> str:
    if record.boot_id != clock.boot_id():
        return "the host restarted while the job ran"
    what = "its supervisor died while the job ran" if found.payload_lived else "its supervisor died before it could say"
    if record.cgroup is None and found.took is not None:
        return f"{what}; what could be found of it was killed, and more may survive"
    return what


def _listed(found: list[Seen]) -> list[Process]:
    return [Process(pid=one.pid, name=one.name[:200], state=one.state) for one in found][:SHOWN]
