-- The outbox: what an application writes beside its own tables, in the same transaction, for others to read from the WAL.
-- run_id and seq say which run of cdc-bench made a row and in which order; an application would have no need of them.
CREATE SCHEMA IF NOT EXISTS activity;

CREATE TABLE IF NOT EXISTS activity.event_outbox (
    id             uuid        PRIMARY KEY,
    run_id         text        NOT NULL,
    seq            bigint      NOT NULL,
    event_type     text        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   uuid        NOT NULL,
    payload        jsonb       NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);

-- Verification reads one run in the order of its ids.
CREATE INDEX IF NOT EXISTS event_outbox_run ON activity.event_outbox (run_id, id);
