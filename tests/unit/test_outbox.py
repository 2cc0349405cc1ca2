"""Returns that the master has not acknowledged: in order, a window at a time, again and again. # P3"""

from __future__ import annotations

from common.host.outbox import AGAIN, WINDOW, Outbox
from tests.lib.cores import returned
from tests.lib.stored import jid


def sent(outbox: Outbox, now: float) -> list[int]:
    """The numbers of what a pump sends."""
    return [int(name.minted.timestamp()) - int(jid(0).minted.timestamp()) for name, _ in outbox.pump(now)]


def filled(count: int) -> Outbox:
    outbox = Outbox()
    for number in range(count):
        outbox.add(jid(number), 0.0)
    return outbox


def test_nothing_is_sent_to_nobody() -> None:
    outbox = filled(3)
    assert sent(outbox, 0) == []
    assert outbox.next() is None
    outbox.connected()
    assert sent(outbox, 0) == [0, 1, 2]
    assert sent(outbox, 1) == []


def test_a_spool_of_many_is_no_flood() -> None:
    outbox = filled(WINDOW + 5)
    outbox.connected()
    assert sent(outbox, 0) == list(range(WINDOW))
    assert outbox.acked(jid(7))
    assert outbox.acked(jid(8))
    assert sent(outbox, 1) == [WINDOW, WINDOW + 1]
    assert len(outbox) == WINDOW + 3


def test_what_is_unanswered_is_sent_again() -> None:
    outbox = filled(2)
    outbox.connected()
    sent(outbox, 0)
    outbox.acked(jid(0))
    assert outbox.next() == AGAIN
    assert sent(outbox, AGAIN - 1) == []
    assert sent(outbox, AGAIN) == [1]
    assert outbox.next() == 2 * AGAIN
    outbox.acked(jid(1))
    assert outbox.next() is None
    assert sent(outbox, 10 * AGAIN) == []


def test_a_new_connection_sends_all_that_is_unacknowledged_in_order() -> None:
    outbox = filled(WINDOW + 2)
    outbox.connected()
    sent(outbox, 0)
    outbox.disconnected()
    assert sent(outbox, 1) == []
    assert outbox.next() is None
    outbox.connected()
    assert sent(outbox, 1) == list(range(WINDOW))
    outbox.connected()  # the end of the old one was never told
    assert sent(outbox, 1) == list(range(WINDOW))


def test_whoever_asks_gets_it_at_once() -> None:
    outbox = filled(2)
    outbox.again(jid(0))  # it waits anyway
    outbox.connected()
    sent(outbox, 0)
    outbox.again(jid(1))
    outbox.again(jid(9))
    assert sent(outbox, 1) == [1]
    assert outbox.next() == AGAIN
    assert sent(outbox, AGAIN) == [0]


def test_an_ack_counts_once_also_for_what_was_not_sent() -> None:
    outbox = filled(1)
    assert jid(0) in outbox
    assert outbox.acked(jid(0))
    assert not outbox.acked(jid(0))
    assert jid(0) not in outbox
    outbox.connected()
    assert sent(outbox, 0) == []


def test_what_only_memory_has_comes_with_its_message() -> None:
    outbox = filled(1)
    message = returned(jid(1))
    outbox.add(jid(1), 0.0, message)
    outbox.connected()
    assert outbox.pump(0) == [(jid(0), None), (jid(1), message)]
    assert outbox.pump(AGAIN) == [(jid(0), None), (jid(1), message)]
    outbox.acked(jid(1))
    outbox.add(jid(1), 0.0)
    assert outbox.pump(AGAIN) == [(jid(1), None)]


def test_the_oldest_is_known_until_it_is_acknowledged() -> None:
    outbox = Outbox()
    assert outbox.oldest() is None
    for number, at in ((1, 5.0), (2, 7.0), (1, 9.0)):
        outbox.add(jid(number), at)
    assert outbox.oldest() == 5.0
    outbox.acked(jid(1))
    assert outbox.oldest() == 7.0
