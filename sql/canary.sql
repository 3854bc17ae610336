-- The table of "cdc-bench observe --canary public.cdc_bench_canary": a row a second, so that an idle pipeline has a latency, too.
-- Whoever owns the database runs this once; names of role and publication are yours. A connector with a table.include.list
-- needs the table there before.
CREATE TABLE public.cdc_bench_canary (id text PRIMARY KEY);

-- DELETE and SELECT let observe remove its rows again; without them they stay.
-- GRANT INSERT, SELECT, DELETE ON public.cdc_bench_canary TO reader;

-- The connector's publication, unless it is FOR ALL TABLES.
-- ALTER PUBLICATION dbz_publication ADD TABLE public.cdc_bench_canary;

-- A topic is made with its first record: insert this one once the connector captures the table.
-- INSERT INTO public.cdc_bench_canary VALUES ('first');
