-- What cdc-bench has made on this server and on those around it, so that a clean-up removes exactly that,
-- also after a run that was cut off, and from any machine.
-- A schema that is there stays as it is: without the comment it is not removed either, and no right to create one is needed.
DO $$ BEGIN
    IF to_regnamespace('cdc_bench') IS NULL THEN
        CREATE SCHEMA cdc_bench;
        COMMENT ON SCHEMA cdc_bench IS 'made by cdc-bench';
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS cdc_bench.ledger (
    kind    text        NOT NULL,
    name    text        NOT NULL,
    run_id  text,
    made_at timestamptz NOT NULL DEFAULT now(),
    -- The run that made what outlives a run: NULL once a run that used it has ended, and from setup.
    made_by text,
    PRIMARY KEY (kind, name)
);

-- A registry of an earlier version.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'cdc_bench.ledger'::regclass AND attname = 'made_by') THEN
        ALTER TABLE cdc_bench.ledger ADD COLUMN made_by text;
    END IF;
END $$;
