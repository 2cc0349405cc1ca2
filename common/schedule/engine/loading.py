"""Taking entries over: as the daemon starts, with what the journal knows of them, and after each change."""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping
from datetime import tzinfo

from msgspec import structs

from common.schedule.engine import policy, verbs
from common.schedule.engine.board import SLICE, Board, occurrence_of
from common.schedule.engine.ends import Ends
from common.schedule.engine.gate import UNUSABLE, Gate, Refusal
from common.schedule.engine.planner import Planner
from common.schedule.engine.plans import Rhythm
from common.schedule.engine.slot import Slot
from common.schedule.engine.standings import former, restore, standing_of
from common.schedule.model import Decision, Entry, Judge, Moment, Standing, Waiting
from common.schedule.times.periods import Period
from common.schedule.times.triggers import fingerprint

Slices = Generator[None, None, list[Decision]]
"""Something long, in parts: others may look in between, and nothing may be changed. It gives what was decided."""

_REMEMBERED = 10_000
"""Deleted entries of whom it is known what they decided, until the daemon starts again."""
_DISABLED = Refusal("skipped_paused", "the entry is disabled")
_DELETED = Refusal("skipped_paused", "the entry was deleted")
_EDITED = "its planned times were edited while nobody was there"
_GONE = "the entry was deleted while nobody was there"


class Loading:
    """Knows which entries there were, and which of them the journal still has to be asked for."""

    def __init__(
        self, who: str, zone: tzinfo, standings: Mapping[str, Standing], board: Board, gate: Gate, planner: Planner,
        ends: Ends,
    ) -> None:
        self._who = who
        self._zone = zone
        self._standings = dict(standings)
        """Of entries that were not loaded yet: used once, by the first load."""
        self._board = board
        self._gate = gate
        self._planner = planner
        self._ends = ends
        self._periods: Mapping[str, Period] = {}
        self._edited: frozenset[str] = frozenset()
        """The periods that are others than before, while entries are taken over."""
        self._deleted: dict[str, Standing] = {}
        """What entries that were deleted had decided: one that comes back under its name decides nothing twice."""

    def load(self, entries: Mapping[str, Entry], periods: Mapping[str, Period], now: Moment,
             broken: Container[str]) -> Slices:
        """These are the entries from now on; those whose planned times did not change keep all their state. Of the
        others those in `broken` keep it too, and the rest are deleted.
        """
        out: list[Decision] = []
        self._board.broken = broken
        self._edited = frozenset(name for name in {**self._periods, **periods}
                                 if self._periods.get(name) != periods.get(name))
        self._periods = dict(periods)
        for name in [name for name in self._board.slots if name not in entries]:
            self._remove(name, name in broken, now, out)
        for name in [name for name in self._board.aside if name not in entries and name not in broken]:
            self._forget(self._brought_up(self._board.aside.pop(name), UNUSABLE, periods, now, out), now, out)
        fresh: list[Slot] = []
        for number, entry in enumerate(entries.values()):
            if number % SLICE == SLICE - 1:
                yield
            slot = self._put(entry, periods, now, out)
            if slot is not None:
                fresh.append(slot)
        for name in self._standings.keys() - entries.keys():
            if name in broken:
                self._board.put_aside(self._standings[name])
            else:
                self._forget(self._brought_up(self._standings[name], _GONE, periods, now, out), now, out)
        self._standings.clear()
        follow = [other for slot in fresh for other in self._ends.make_up(slot, now, out)]
        for number, slot in enumerate([*fresh, *follow]):
            if number % SLICE == SLICE - 1:
                yield
            self._planner.look(slot, now, out)
        return out

    def _put(self, entry: Entry, periods: Mapping[str, Period], now: Moment, out: list[Decision]) -> Slot | None:
        """Take an entry over; None when nothing about it changed."""
        slot = self._board.slots.get(entry.name)
        if slot is None:
            return self._add(entry, periods, now, out)
        # Most are the very same object, when one of many was changed at run time.
        alike = slot.entry is entry or slot.entry == entry
        if alike and self._edited.isdisjoint((*entry.during, *entry.excepting)):
            slot.entry = entry  # 1 equals true, and is another argument
            return None
        trigger, was_enabled = slot.trigger, slot.entry.enabled
        if entry.enabled != was_enabled or fingerprint(entry) != trigger:
            self._keep_splayed(slot, now, out)
        slot.set_entry(entry, self._who, self._zone, periods)
        if not entry.enabled:
            self._gate.turn_away(slot, _DISABLED, now, out)
        if verbs.is_another_plan(slot, trigger) or was_enabled != entry.enabled:
            slot.plan_from(now)
        elif slot.counted and slot.next is not None and slot.next > now.wall + slot.interval and not slot.skips:
            slot.count_from(max(slot.start, now.wall + slot.interval))  # it waited for windows that may be others now
        self._board.touch(slot)
        return slot

    def _add(self, entry: Entry, periods: Mapping[str, Period], now: Moment, out: list[Decision]) -> Slot:
        slot = Slot(entry, self._who, self._zone, periods)
        self._board.slots[entry.name] = slot
        slot.running = self._board.runs_of(entry.name)
        kept = self._board.aside.pop(entry.name, None) or self._standings.get(entry.name)
        standing = kept or self._deleted.pop(entry.name, None)
        if standing is None:
            slot.plan_from(now)
        else:
            was_broken = standing.broken
            if not entry.enabled or fingerprint(entry) != standing.trigger:
                standing = self._brought_up(standing, _EDITED, periods, now, out)
            restore(slot, standing, now)
            if standing.broken:
                self._planner.pass_over(slot, UNUSABLE, now, out)
            self._gate.returned(slot, was_broken, now, out)
        if entry.run_on_start and entry.enabled:
            slot.wait(Waiting(planned=slot.new_time(now.wall), due=now.wall + slot.spread, cause="run_on_start"))
        self._board.touch(slot)
        return slot

    def _remove(self, name: str, broken: bool, now: Moment, out: list[Decision]) -> None:
        """Its runs end as they end; what waits never begins, unless the entry is broken and comes back."""
        slot = self._board.slots[name]
        self._keep_splayed(slot, now, out)
        standing = standing_of(slot)
        del self._board.slots[name]
        self._board.disarm(name)
        if broken:
            self._board.put_aside(standing)
        else:
            self._forget(standing, now, out)

    def _forget(self, old: Standing, now: Moment, out: list[Decision]) -> None:
        """The entry is gone for good; what it had decided stays decided."""
        name = old.name
        out.extend(Judge(occurrence=occurrence_of(name, one, *_DELETED, now)) for one in old.waiting)
        gone = (*old.skips, *(planned for planned, _ in old.moved))
        self._deleted[name] = Standing(name=name, decided=old.decided, turn=old.turn, lap=old.lap, high=old.high,
                                       skips=gone, ahead=old.ahead)
        if len(self._deleted) > _REMEMBERED:
            del self._deleted[next(iter(self._deleted))]
        self._board.dropped.add(name)

    def _brought_up(self, standing: Standing, why: str, periods: Mapping[str, Period], now: Moment,
                    out: list[Decision]) -> Standing:
        """Judge what came due by the entry as it was; where it stands then. Nothing of it is made up for: nobody wants
        it any more as it was.
        """
        slot = former(standing, self._who, self._zone, periods, now)
        if slot is None:
            return structs.replace(standing, broken=False)
        slot.running = self._board.runs_of(standing.name)
        self._planner.pass_over(slot, UNUSABLE if standing.broken else why, now, out)
        self._keep_splayed(slot, now, out)
        return standing_of(slot)

    def _keep_splayed(self, slot: Slot, now: Moment, out: list[Decision]) -> None:
        """What was planned up to now and waits for its splay alone waits by itself, whatever becomes of the plan."""
        if not slot.splay or slot.next is None or slot.next > now.wall:
            return
        self._planner.settle(slot, now, out)
        while (raw := slot.next) is not None and raw <= now.wall and not slot.finished:
            one = Waiting(planned=slot.key_time(raw), due=raw + slot.splay)
            if raw not in slot.skips and raw not in slot.moved:
                if slot.paused or not slot.windows.is_open(raw):
                    refusal = Refusal("skipped_paused", slot.paused) if slot.paused else Refusal("skipped_window")
                    self._board.judge(slot, one, *refusal, now, out)
                elif not slot.wait(one):
                    self._board.judge(slot, one, "skipped_overlap", f"{policy.QUEUE_LIMIT} runs wait already", now, out)
            if isinstance(slot.plan, Rhythm):
                slot.high = max(slot.high, raw)
            slot.move_on(raw)


