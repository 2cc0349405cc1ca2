-- What `apply` and `age` write. Each runs inside a transaction that the store opens and ends.

-- name: add_job
-- One job; fails when its jid is stored.
INSERT INTO job (jid, function, user, schedule, published, start_by, pairs, timeout, grace, typed, target_type, target,
                 metadata, args, kwargs, queue, left_behind)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_secrets
-- The secrets of one job.
INSERT INTO secret (jid, packed) VALUES (?, ?);

-- name: has_secrets
-- Whether secrets of a job are kept.
SELECT 1 FROM secret WHERE jid = ?;

-- name: overwrite
-- What is deleted from here on is overwritten, also in pages that are freed.
PRAGMA secure_delete = ON;

-- name: drop_secrets
-- The job is done, and nobody needs its secrets any more.
DELETE FROM secret WHERE jid = ?;

-- name: overwrite_cheaply
-- As before: only what costs no further write.
PRAGMA secure_delete = FAST;

-- name: forget_secrets
-- In a copy, which outlives them: nil says that there were some, so that their job is not run without.
PRAGMA secure_delete = ON;
UPDATE secret SET packed = x'C0';

-- name: add_metadata
-- One item of a job's metadata, to be found by.
INSERT OR IGNORE INTO job_metadata (name, value, jid) VALUES (?, ?, ?);

-- name: clear_gone_pairs
-- A job that comes again after it was deleted must not inherit pairs that still wait for their deletion.
DELETE FROM ledger WHERE jid = ?1 AND EXISTS (SELECT 1 FROM gone WHERE jid = ?1);

-- name: clear_gone
-- Nothing of this job waits for deletion any more.
DELETE FROM gone WHERE jid = ?;

-- name: put_pair
-- Insert or replace one pair. An update leaves the index of minions alone.
INSERT INTO ledger (jid, minion, state, expired, seen, outcome, value, stdout, stderr)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (jid, minion) DO UPDATE SET state = excluded.state, expired = excluded.expired, seen = excluded.seen,
    outcome = excluded.outcome, value = excluded.value, stdout = excluded.stdout, stderr = excluded.stderr;

-- name: mark_stray
-- A pair whose job is not stored can be neither shown nor aged: let `expire` take it.
INSERT OR IGNORE INTO gone (jid) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM job WHERE jid = ?1);

-- name: set_done
-- The job is over; its age begins now, again when a late return corrects it.
UPDATE job SET done = ?, counts = ?, dropped = 0, ran = (SELECT value FROM meta WHERE name = 'ran') WHERE jid = ?;

-- name: counts
-- The packed counts of a done job.
SELECT counts FROM job WHERE jid = ?;

-- name: drop_state
-- One state that a done job is no longer listed under.
DELETE FROM job_state WHERE state = ? AND jid = ?;

-- name: add_state
-- One state that a done job is listed under.
INSERT OR IGNORE INTO job_state (state, jid) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM job WHERE jid = ?2);

-- name: put_stop
-- Insert or replace one stop request.
INSERT OR REPLACE INTO stop (stop, minion, jid, how, signal, grace, by, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: drop_stop
-- A stop request that is answered, or has nothing left to stop.
DELETE FROM stop WHERE stop = ? AND minion = ?;

-- name: put_minion
-- Insert or replace one key.
INSERT OR REPLACE INTO minion (key, id, state, filed, version, last_seen, start, connection, facts, boot_id, highest,
                               strange, reason, trusts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: drop_minion
-- Forget one key.
DELETE FROM minion WHERE key = ?;

-- name: put_token
-- Insert or replace one join token.
INSERT OR REPLACE INTO token (digest, expires, minion) VALUES (?, ?, ?);

-- name: drop_token
-- Forget one join token.
DELETE FROM token WHERE digest = ?;

-- name: set_minted
-- The last jid minted never goes back.
UPDATE meta SET value = ?1 WHERE name = 'minted' AND (value IS NULL OR value < ?1);

-- name: set_latest
-- The latest master time never goes back.
UPDATE meta SET value = ?1 WHERE name = 'latest' AND value < ?1;

-- name: add_ran
-- The master ran this much longer.
UPDATE meta SET value = value + ? WHERE name = 'ran';
