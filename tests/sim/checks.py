"""Memory against disk, after every step, and what must be there when all faults are long over.

A step changes the memory of the party that took it alone, so that one is looked at, as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.ids import Jid, MinionId
from common.states import OPEN, TERMINAL, State
from tests.sim.minion import SimMinion

if TYPE_CHECKING:
    from tests.sim.world import World

def check(world: World) -> None:
    """What must hold between two events."""
    truth, master = world.truth, world.master
    if master in world.touched and master.settled:
        for jid in truth.dirty:
            _job(world, jid)
        truth.dirty.clear()
        check_master(world)
    for party in world.touched:
        if isinstance(party, SimMinion) and party.settled:
            check_minion(world, party)
    world.touched.clear()


def _job(world: World, jid: Jid) -> None:
    """One job that changed: what memory follows is what the disk says."""
    master = world.master
    assert master.core is not None
    opened = master.core.ledger.jobs.get(jid)
    pairs = {pair.minion: pair.state for pair in master.store.pairs(jid)}
    done = master.store.job(jid).done
    for minion, state in pairs.items():
        if world.truth.pairs.get((jid, minion)) is not state:
            world.fail(f"the store has {world.name(jid)} on {minion} as {state}")
    if opened is None:
        if done is None or any(state in OPEN for state in pairs.values()):
            world.fail(f"P4: nobody follows {world.name(jid)}, which is not done: {pairs}")
        return
    followed = {minion: pair.state for minion, pair in opened.pairs.items()}
    if done is not None or followed != pairs:
        world.fail(f"P4: {world.name(jid)} is followed as {followed}, and stored as {pairs}, done {done}")
    if opened.open != {minion for minion, state in pairs.items() if state in OPEN}:
        world.fail(f"P4: {world.name(jid)} has open pairs {opened.open} of {pairs}")


def check_master(world: World) -> None:
    """The whole master: open jobs, stops, keys, and the index by minion."""
    master = world.master
    assert master.core is not None
    core, snapshot = master.core, master.store.snapshot()
    if set(core.ledger.jobs) != {job.jid for job in snapshot.jobs}:
        world.fail(f"P4: followed are {sorted(core.ledger.jobs)}, open are {[job.jid for job in snapshot.jobs]}")
        return
    for job in snapshot.jobs:
        if job.secrets != core.ledger.jobs[job.jid].job.secrets:
            world.fail(f"R-A23: the secrets of {world.name(job.jid)} are not those that are stored")
    by_minion: dict[MinionId, set[Jid]] = {}
    for pair in snapshot.pairs:
        if pair.state in OPEN:
            by_minion.setdefault(pair.minion, set()).add(pair.jid)
        if core.ledger.jobs[pair.jid].pairs[pair.minion].state is not pair.state:
            world.fail(f"P4: {world.name(pair.jid)} on {pair.minion} is stored as {pair.state}")
    for minion in {*core.ledger.minions(), *by_minion}:
        if {opened.job.jid for opened in core.ledger.of_minion(minion)} != by_minion.get(minion, set()):
            world.fail(f"P4: the open jobs of {minion} are not those that are stored")
    stops = {(stop.stop, stop.minion) for opened in core.ledger.jobs.values()
             for asked in opened.stops.values() for stop in asked.values()}
    if stops != {(stop.stop, stop.minion) for stop in snapshot.stops}:
        world.fail(f"P4: stops followed are {sorted(stops)}, stored are {snapshot.stops}")
    if {row.key: row for row in core.keys.rows()} != {row.key: row for row in snapshot.minions}:
        world.fail("the keys in memory are not those that are stored")


def check_minion(world: World, minion: SimMinion) -> None:
    """One minion: what its core holds lies on its disk, and nothing else does."""
    assert minion.host is not None
    disk, locks, held = minion.machine.disk, minion.machine.locks, minion.host.held.states()
    for jid, state in held.items():
        there = jid in disk.spool or jid in locks or (state not in TERMINAL and jid in disk.records)
        if not there:
            world.fail(f"P3: {minion.id} holds {world.name(jid)} as {state}, and its disk does not")
    for jid in (*disk.records, *disk.spool):
        if jid not in held and jid not in locks:
            world.fail(f"P3: {minion.id} has forgotten {world.name(jid)}, which lies on its disk")
    for jid in disk.claims:
        if not minion.host.held.seen(jid) and jid not in locks:
            world.fail(f"P2: {minion.id} has forgotten that it saw {world.name(jid)}")
    running = sum(supervisor.payload for supervisor in locks.values())
    if 0 < minion.max_jobs < running:
        world.fail(f"{minion.id} runs {running} jobs, of {minion.max_jobs} at most")


def check_quiet(world: World) -> None:
    """P9: all is over, everywhere, and what was seen is known."""
    truth = world.truth
    check_master(world)
    for (jid, minion), state in truth.pairs.items():
        if state not in TERMINAL:
            world.fail(f"P9: {world.name(jid)} on {minion} is {state}")
        if (jid, minion) in truth.kept and truth.ends[jid, minion] is not state:
            world.fail(f"P9: {world.name(jid)} on {minion} is {state}, and its return said {truth.ends[jid, minion]}")
        if state is State.SUCCEEDED and (jid, minion) not in truth.ends:
            world.fail(f"P5: {world.name(jid)} on {minion} succeeded, and nobody saw it end")
    for jid in truth.jobs:
        if jid not in truth.done:
            world.fail(f"P9: {world.name(jid)} is not done")
    for jid, minion in truth.kept:
        if (jid, minion) not in truth.pairs:
            world.fail(f"P9: the master never heard of {world.name(jid)} on {minion}")
    for party in world.minions.values():
        check_empty(world, party)
    truth.verdicts.check_told()
    check_keys(world)
    if truth.stops:
        world.fail(f"P9: stops wait for an answer: {truth.stops}")


def check_keys(world: World) -> None:
    """R-B37: each minion is known by the key that it has, and none by one that was replaced."""
    for party in world.minions.values():
        pki = party.machine.pki
        if world.master.admits(pki.own) != party.id:
            world.fail(f"keys: the key of {party.name} is not accepted")
        old = [key for key in pki.retired if world.master.admits(key) is not None]
        if old:
            world.fail(f"keys: {len(old)} old keys of {party.name} are accepted")
        if pki.masters[0] != world.master.pki.own:
            world.fail(f"keys: {party.name} knows the master by another key")


def check_empty(world: World, party: SimMinion) -> None:
    """A minion with nothing to do and nothing to say."""
    disk = party.machine.disk
    if disk.secrets:
        world.fail(f"R-A23: {party.name} still has secrets of {[*disk.secrets]}")
    if disk.spool or disk.records or party.machine.locks:
        world.fail(f"P9: {party.name} still has {[*disk.spool]} to send, {[*disk.records]} to run")
    assert party.host is not None
    if any(party.host.held.figures().values()):
        world.fail(f"P9: {party.name} still has {party.host.held.figures()}")
    if party.schedule is not None and (left := party.schedule.journal.page()[1]):
        world.fail(f"schedule: {party.name} still has {len(left)} verdicts to tell")
