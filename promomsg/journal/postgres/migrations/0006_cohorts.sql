-- Version 6: who may be sent to at the same times.

-- JSON: who is in cohort 0, 1, … (NULL: all are in cohort 0), and how far the first few got (NULL: nothing
-- is known yet).
ALTER TABLE campaign ADD COLUMN cohorts text;
ALTER TABLE campaign ADD COLUMN first_few text;

-- The number of a recipient's cohort, of all members of a group, of all that a chunk leases.
ALTER TABLE recipient ADD COLUMN cohort smallint NOT NULL DEFAULT 0;
ALTER TABLE group_send ADD COLUMN cohort smallint NOT NULL DEFAULT 0;
ALTER TABLE chunk ADD COLUMN cohort smallint NOT NULL DEFAULT 0;

-- Tables of recipients that a plan in the making has not attached yet.
DO $$
DECLARE half regclass;
BEGIN
    FOR half IN
        SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'promomsg' AND c.relname ~ '^recipient_[0-9]+$' AND c.relkind = 'r'
          AND NOT c.relispartition
    LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN cohort smallint NOT NULL DEFAULT 0', half);
    END LOOP;
END $$;
