"""What the log says of what happened."""

from __future__ import annotations

import logging

from master.core import effects as do

_log = logging.getLogger("jr.master")


def tell(event: do.Event) -> None:
    """A line in the log for what happened and is committed."""
    match event:
        case do.JobNew(job, minions):
            whose = f" of the schedule {job.fields.schedule}" if job.fields.schedule else ""
            _log.info("job %s for %d minions%s", job.fields.function, len(minions), whose,
                      extra={"action": "job.new", "jid": job.jid, "user": job.fields.user})
        case do.JobDone(jid, _, counts):
            _log.info("done: %s", ", ".join(f"{count} {state}" for state, count in counts.items()),
                      extra={"action": "job.done", "jid": jid})
        case do.PairMoved(pair, True):
            _log.warning("corrected to %s by a late return", pair.state,
                         extra={"action": "job.corrected", "jid": pair.jid, "minion": pair.minion})
        case do.MinionUp(minion):
            _log.info("minion is up", extra={"action": "minion.up", "minion": minion})
        case do.MinionDown(minion, reason):
            _log.info("minion is down: %s", reason, extra={"action": "minion.down", "minion": minion})
        case do.MinionBehind(minion, start, highest):
            _log.warning("the minion runs on an older copy of its state folder: it was started %d times, and its "
                         "key has been at %d", start, highest, extra={"action": "minion.behind", "minion": minion})
        case do.KeyChanged(minion, "quarantined", reason):
            _log.critical("key quarantined: %s; it gets no jobs until one host has a key of its own and "
                          "`jr-key accept` lets the other one in", reason,
                          extra={"action": "key.quarantined", "minion": minion})
        case do.KeyChanged(minion, state):
            _log.info("key %s", state, extra={"action": f"key.{state}", "minion": minion})
