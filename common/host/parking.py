"""What waits for room on the disk, job by job: nothing of a job overtakes what could not be written of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import structs

from common.errors import JrError
from common.host import effects as do
from common.host.core import Host
from common.host.job import Now
from common.ids import Jid
from common.messages import Held
from common.sequencer import Then


class Parking:
    """A job of which nobody was told yet is refused when the disk refuses it. All else waits here, and is tried again:
    a stop that was asked for, the return of a job without a supervisor."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: dict[Jid, list[Any]] = {}

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def admit(self, effects: Iterable[Any]) -> list[Any]:
        """Those effects that may go on; the others wait behind what waits of their job."""
        if not self._waiting:
            return list(effects)
        passed = []
        for effect in effects:
            waiting = self._waiting.get(_about(effect))
            if waiting is None:
                passed.append(effect)
            elif effect not in waiting:  # what is said again while it waits need not wait twice
                waiting.append(effect)
        return passed

    def unwritten(self, queued: Iterable[Any], short: Mapping[Jid, str], now: Now) -> list[Any]:
        """Of everything that is queued, what goes on when nothing more could be written of the jobs in `short`.

        That is by jid, with the reason. Instead of a new job its refusal goes on.
        """
        passed: list[Any] = []
        taken: dict[Jid, list[Any]] = {jid: [] for jid in short}
        for effect in queued:
            taken.get(_about(effect), passed).append(effect)
        refused = {jid for jid, effects in taken.items() if any(map(_begins, effects))}
        passed = [_without(effect, refused) for effect in passed]
        for jid, effects in taken.items():
            if jid not in refused:
                self._waiting[jid] = effects
                continue
            reason = f"cannot accept the job: {short[jid]}"
            # Told once nothing of the job is left on the disk: a crash before that would still start it.
            told = [structs.replace(effect, error=JrError(reason)) for effect in effects if isinstance(effect, Then)]
            passed += [*self.admit(self._host.unwritten(jid, reason, now)), *told]
        return passed

    def again(self, most: int) -> list[Any]:
        """What waits of `most` jobs, the longest first: to be tried once more."""
        jids = list(self._waiting)[:most]
        return [effect for jid in jids for effect in self._waiting.pop(jid)]


def _about(effect: Any) -> Any:
    return effect.about if isinstance(effect, Then) else do.about(effect)


def _begins(effect: Any) -> bool:
    return isinstance(effect, do.Claim) and not effect.cancelled


def _without(effect: Any, jids: set[Jid]) -> Any:
    """A page of what is held, without jobs that are not."""
    if not isinstance(effect, do.Send) or not isinstance(effect.message, Held):
        return effect
    jobs = [job for job in effect.message.jobs if job.jid not in jids]
    return do.Send(structs.replace(effect.message, jobs=jobs))
