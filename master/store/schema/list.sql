-- Streams of jids for a list of jobs: newest first, each along an index, between :floor and :before.

-- name: list_all
-- Every job.
SELECT jid FROM job WHERE jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: list_function
-- Jobs of one function.
SELECT jid FROM job INDEXED BY job_function
WHERE function = :function AND jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: next_function
-- The first function name after a given one: a glob is held against each name once, not against each job.
SELECT min(function) FROM job INDEXED BY job_function WHERE function > :after;

-- name: list_user
-- Jobs of one user.
SELECT jid FROM job INDEXED BY job_user
WHERE user = :user AND jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: list_schedule
-- Jobs that one schedule made.
SELECT jid FROM job INDEXED BY job_schedule
WHERE schedule = :schedule AND jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: list_minion
-- Jobs that were sent to one minion.
SELECT jid FROM ledger INDEXED BY ledger_minion
WHERE minion = :minion AND jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: list_metadata
-- Jobs with one item of metadata.
SELECT jid FROM job_metadata
WHERE name = :name AND value = :value AND jid < :before AND jid >= :floor ORDER BY jid DESC LIMIT :count;

-- name: list_state
-- Done jobs with a pair in one state, and every open job, whose pairs must be looked at.
SELECT jid FROM job_state WHERE state = :state AND jid < :before AND jid >= :floor
UNION ALL
SELECT jid FROM job INDEXED BY job_open WHERE done IS NULL AND jid < :before AND jid >= :floor
ORDER BY jid DESC LIMIT :count;

-- name: pair_state
-- In which state a job is on a minion that it was sent to.
SELECT state FROM ledger WHERE jid = ? AND minion = ?;
