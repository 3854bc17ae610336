-- An outbox: an application inserts an event in the transaction that it is about, and may delete it at any time after.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_id text NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL
);
CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert');
