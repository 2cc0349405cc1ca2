-- What a job does about minions that are away, and about the processes it leaves behind. NULL stands for the default.

BEGIN IMMEDIATE;

ALTER TABLE job ADD COLUMN queue INTEGER;
ALTER TABLE job ADD COLUMN left_behind TEXT;

PRAGMA user_version = 2;

COMMIT;
