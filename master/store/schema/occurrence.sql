-- Verdicts on planned runs, and what the master's own schedule keeps.

-- name: put_occurrence
-- Insert one, or replace what was said of the same run before; its age begins when it first came. That a run failed to
-- start corrects the word that it began, which may come once more, and later.
INSERT INTO occurrence (minion, schedule, planned, attempt, last, verdict, at, jid, more, ran)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT value FROM meta WHERE name = 'ran'))
ON CONFLICT (minion, schedule, planned, attempt) DO UPDATE SET last = excluded.last, verdict = excluded.verdict,
    at = excluded.at, jid = excluded.jid, more = excluded.more
WHERE occurrence.verdict <> 8 OR excluded.verdict = 8  -- failed_to_start
    OR occurrence.jid IS NOT excluded.jid;

-- name: occurrences
-- Of all minions and schedules, newest first, below (:last, :id).
SELECT id, minion, schedule, planned, attempt, last, verdict, at, jid, more FROM occurrence INDEXED BY occurrence_last
WHERE (last, id) < (:last, :id) AND last >= :since ORDER BY last DESC, id DESC LIMIT :count;

-- name: occurrences_of_schedule
-- The same of one schedule.
SELECT id, minion, schedule, planned, attempt, last, verdict, at, jid, more FROM occurrence INDEXED BY occurrence_schedule
WHERE schedule = :schedule AND (last, id) < (:last, :id) AND last >= :since
ORDER BY last DESC, id DESC LIMIT :count;

-- name: occurrences_of_minion
-- The same of one minion.
SELECT id, minion, schedule, planned, attempt, last, verdict, at, jid, more FROM occurrence INDEXED BY occurrence_minion
WHERE minion = :minion AND (last, id) < (:last, :id) AND last >= :since
ORDER BY last DESC, id DESC LIMIT :count;

-- name: first_occurrences
-- The first ones, with their age.
SELECT id, (SELECT value FROM meta WHERE name = 'ran') - ran FROM occurrence WHERE id > 0 ORDER BY id LIMIT ?;

-- name: drop_occurrence
-- Forget one.
DELETE FROM occurrence WHERE id = ?;

-- name: put_kept
-- Insert or replace one thing that is kept.
INSERT OR REPLACE INTO kept (kind, name, body) VALUES (?, ?, ?);

-- name: drop_kept
-- Forget one.
DELETE FROM kept WHERE kind = ? AND name = ?;

-- name: kept
-- All of one kind.
SELECT name, body FROM kept WHERE kind = ? ORDER BY name;
