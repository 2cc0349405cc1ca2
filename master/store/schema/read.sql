-- What single jobs, their pairs and a start are read by.

-- name: meta
-- The whole little table.
SELECT name, value FROM meta;

-- name: job
-- One job.
SELECT jid, function, user, schedule, published, start_by, done, counts, pairs, timeout, grace, typed, target_type, target,
       metadata, args, kwargs, queue, left_behind
FROM job WHERE jid = ?;

-- name: open_jobs
-- Every job that is not done.
SELECT jid, function, user, schedule, published, start_by, done, counts, pairs, timeout, grace, typed, target_type, target,
       metadata, args, kwargs, queue, left_behind
FROM job INDEXED BY job_open WHERE done IS NULL ORDER BY jid;

-- name: secrets
-- The secrets of every job that is not done.
SELECT jid, packed FROM secret;

-- name: open_pairs
-- The pairs of every job that is not done, without values and output.
SELECT ledger.jid, ledger.minion, ledger.state, ledger.expired, ledger.seen, ledger.outcome
FROM job INDEXED BY job_open CROSS JOIN ledger ON ledger.jid = job.jid
WHERE job.done IS NULL ORDER BY job.jid, ledger.minion;

-- name: pairs
-- The pairs of a stored job after a minion id.
SELECT jid, minion, state, expired, seen, outcome, value, stdout, stderr
FROM ledger WHERE jid = ?1 AND minion > ?2 AND EXISTS (SELECT 1 FROM job WHERE jid = ?1) ORDER BY minion;

-- name: bare_pairs
-- The same without values and output.
SELECT jid, minion, state, expired, seen, outcome
FROM ledger WHERE jid = ?1 AND minion > ?2 AND EXISTS (SELECT 1 FROM job WHERE jid = ?1) ORDER BY minion;

-- name: pair
-- One pair of a stored job.
SELECT jid, minion, state, expired, seen, outcome, value, stdout, stderr
FROM ledger WHERE jid = ?1 AND minion = ?2 AND EXISTS (SELECT 1 FROM job WHERE jid = ?1);

-- name: bare_pair
-- The same without value and output.
SELECT jid, minion, state, expired, seen, outcome
FROM ledger WHERE jid = ?1 AND minion = ?2 AND EXISTS (SELECT 1 FROM job WHERE jid = ?1);

-- name: count_states
-- How many pairs of a job are in which state.
SELECT state, count(*) FROM ledger WHERE jid = ? GROUP BY state;

-- name: stops
-- Every stop request.
SELECT stop, minion, jid, how, signal, grace, by, at FROM stop ORDER BY stop, minion;

-- name: minions
-- Every key.
SELECT key, id, state, filed, version, last_seen, start, connection, facts, boot_id, highest, strange, reason, trusts
FROM minion ORDER BY key;

-- name: tokens
-- Every join token.
SELECT digest, expires, minion FROM token ORDER BY digest;
