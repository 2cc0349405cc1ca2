-- Retention, in steps small enough that a publish never waits for one.

-- name: oldest_done
-- The done job with the greatest age that is at least :age, among those whose values are there (0) or dropped (1).
SELECT jid FROM job INDEXED BY job_age
WHERE done IS NOT NULL AND dropped = :dropped AND ran <= (SELECT value FROM meta WHERE name = 'ran') - :age
ORDER BY ran LIMIT 1;

-- name: valued_pairs
-- Pairs of a job that still hold a value or output, with its size.
SELECT minion, ifnull(length(value), 0) + ifnull(length(stdout), 0) + ifnull(length(stderr), 0)
FROM ledger WHERE jid = ? AND coalesce(value, stdout, stderr) IS NOT NULL LIMIT ?;

-- name: drop_values
-- Delete one pair's value and output, and say so.
UPDATE ledger SET value = NULL, stdout = NULL, stderr = NULL, expired = 1 WHERE jid = ? AND minion = ?;

-- name: mark_dropped
-- No pair of this job holds a value any more.
UPDATE job SET dropped = 1 WHERE jid = ?;

-- name: mark_gone
-- The pairs of this job are to be deleted.
INSERT OR IGNORE INTO gone (jid) VALUES (?);

-- name: drop_job
-- The job itself: from here on it is not stored.
DELETE FROM job WHERE jid = ?;

-- name: drop_metadata
-- One item of its metadata.
DELETE FROM job_metadata WHERE name = ? AND value = ? AND jid = ?;

-- name: drop_job_stops
-- Stop requests of a job that is deleted.
DELETE FROM stop WHERE jid = ?;

-- name: gone
-- A deleted job whose pairs wait.
SELECT jid FROM gone LIMIT 1;

-- name: gone_pairs
-- Pairs of a deleted job, with the size of what they hold.
SELECT minion, ifnull(length(value), 0) + ifnull(length(stdout), 0) + ifnull(length(stderr), 0)
FROM ledger WHERE jid = ? LIMIT ?;

-- name: drop_pair
-- Delete one pair.
DELETE FROM ledger WHERE jid = ? AND minion = ?;

-- name: free_pages
-- Pages that hold nothing.
PRAGMA freelist_count;

-- name: give_back
-- Hand 256 free pages (1 MiB) back to the file system.
PRAGMA incremental_vacuum(256);
