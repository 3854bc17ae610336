-- What cdc-bench has made on this server and on those around it, so that a clean-up removes exactly that,
-- also after a run that was cut off, and from any machine.
CREATE SCHEMA IF NOT EXISTS cdc_bench;

CREATE TABLE IF NOT EXISTS cdc_bench.ledger (
    kind    text        NOT NULL,
    name    text        NOT NULL,
    run_id  text,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
