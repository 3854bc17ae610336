//! The examples in the help of each command. Those of `stack` are in its file.

pub(super) const EXAMPLES: &str = "\
Examples:
  cdc-bench run --events 10000                     everything: servers, set-up, load, report, clean-up
  cdc-bench run --connector-profile stock          the same with Debezium as it comes
  cdc-bench run --duration 300 --rate 500 --json   five minutes at 500 a second, the report on stdout
  cdc-bench report --format html -o report.html    the last result as a page with plots
  cdc-bench stack up                               servers that stay: later runs begin at once
  cdc-bench doctor                                 what is there, what is missing, what to type

Exit codes: 0 all objectives met; 1 an objective missed; 2 usage; 3 a server is missing or refused;
4 data lost or differing; 130 interrupted.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  cdc-bench run --events 10000                       10,000 events at 167 a second, each its own commit
  cdc-bench run --profile stress                     1,000 events at 33 a second
  cdc-bench run --rate max --insert-batch 100        as fast as it goes, a hundred rows a transaction
  cdc-bench run --connector-config max.batch.size=64  a setting of Debezium's, over the profile's
  cdc-bench run --capture both --connector-profile stock
                                                     Debezium as it comes beside our own reader, on the same inserts
  cdc-bench run --resume 20261124-021133-7f3a9c      go on with a run that was killed
  POSTGRES_HOST=db KAFKA_BOOTSTRAP_SERVERS=kafka:9092 CONNECT_URL=http://connect:8083 \\
    cdc-bench run                                    your own servers (passwords: POSTGRES_PASSWORD, MONGODB_URI)";

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  cdc-bench report                                   the last result on the terminal
  cdc-bench report --format markdown                 the same for a comment on a pull request
  cdc-bench report 20261124-101500-7f3a9c -f html -o page.html
  cdc-bench report cdc-bench-results/20261124-101500-7f3a9c --format junit -o objectives.xml";

pub(super) const MONITOR_EXAMPLES: &str = "\
Examples:
  cdc-bench monitor                                  the newest run under way, on its dashboard
  ssh bench-host cdc-bench monitor --no-tui          the same from elsewhere, a line a second
  cdc-bench monitor 20261124-101500-7f3a9c --json | jq .paths[0].total.p99_us

It looks on: the run goes on when you leave, and it ends when the run ends.";

pub(super) const OBSERVE_EXAMPLES: &str = "\
Examples:
  cdc-bench observe --plan                           what is found, and what would be tapped; nothing is done
  cdc-bench observe --duration 10m                   ten minutes, then the result
  cdc-bench observe --connector shop --group shop-sink --duration 600
                                                     where there are several
  cdc-bench observe --publication shop --topic shop.public.orders --no-group --duration 60
                                                     without a Connect to ask

It inserts nothing, joins no group, commits no offset and alters no connector; its slot is gone with it.
Exit codes: 0; 1 an objective missed; 2 usage; 3 a server is missing or refused; 4 changes are missing.";

pub(super) const DEMO_EXAMPLES: &str = "\
Examples:
  cdc-bench demo --pause                             four acts; the speaker goes on by Enter
  cdc-bench demo --speed 10x                         a rehearsal
  cdc-bench demo --with-fault                        and an act in which Connect is killed, and comes back
  cdc-bench demo --acts warm-up,extreme --with-fault=store

An act is a run with a result of its own (report.html in its folder); the last lines sum them up.
Exit codes: 0 every event of every act is in the store; 2 usage; 3 a server is missing; 4 data lost or differing.";

pub(super) const COMPARE_EXAMPLES: &str = "\
Examples:
  cdc-bench compare 20261124-101500-7f3a9c latest    two runs
  cdc-bench compare latest --paths debezium,wal      two capture paths of one run
  cdc-bench compare A B --varied connector           the connector's settings were changed on purpose
  cdc-bench compare --baseline A1 A2 A3 A4 A5 A6 --candidate B1 B2 B3 B4 B5 B6 --html compared.html
  cdc-bench compare main.json branch.json --fail-on-regression 5%

The verdict is faster, slower, mixed or no difference shown. Runs that were made differently are refused.
Exit codes: 0 compared; 1 a regression (--fail-on-regression); 2 usage, or the results are unlike.";

pub(super) const SWEEP_EXAMPLES: &str = "\
Examples:
  cdc-bench sweep                                    Debezium at 100, 300, 1000, 3000 a second and as fast as it goes
  cdc-bench sweep --capture both --rates 500,1000,2000,4000,8000,max
                                                     beside our own reader
  cdc-bench sweep --connector-profile stock --duration 30 --json

Each step is a run of its own in the sweep's folder: cdc-bench report cdc-bench-results/SWEEP/debezium-1000
Exit codes: 0 measured; 2 usage; 3 a server is missing or refused; 4 data lost or differing; 130 interrupted.";

pub(super) const RESILIENCE_EXAMPLES: &str = "\
Examples:
  cdc-bench resilience --quick                       each process killed once, Debezium and our reader side by side
  cdc-bench resilience                               killed, paused for 5 s and restarted, each at three moments
  cdc-bench resilience --capture embedded --json

Each process and action is a run of its own in the result's folder, with its page; resilience.html has the table of all.
Exit codes: 0 nothing lost, doubled or out of order; 2 usage; 3 a server is missing; 4 data lost or differing; 130 interrupted.";

pub(super) const TUNE_EXAMPLES: &str = "\
Examples:
  cdc-bench tune                                     ten minutes at 167 a second, then what to set and what it gains
  cdc-bench tune --budget 1800 --candidates 32 --rate 500 --prefer latency
  cdc-bench tune --seed 7 --json > tuned.json        other configurations; the same seed draws the same

By successive halving: many configurations with few events each, the better half (p99, processor time) again with twice
as many. Connect's worker must allow producer.override.* (connector.client.config.override.policy=All, its default).
Ctrl-C ends it and prints what is known so far.";

pub(super) const SETUP_EXAMPLES: &str = "\
Examples:
  cdc-bench stack up && cdc-bench setup              on the stack that is kept
  cdc-bench setup --connector-profile stock          with Debezium as it comes
  cdc-bench cleanup                                  removes exactly what setup made";

pub(super) const CAPTURE_EXAMPLES: &str = "\
Examples:
  cdc-bench capture shop.orders                      Debezium's events, a line each, until Ctrl-C
  cdc-bench capture orders --format flat --max 10    ten changes, plain
  cdc-bench capture orders --slot orders > changes   goes on where it was left, each time it is started
  cdc-bench capture orders --slot orders --until now what has happened since the last time
  cdc-bench capture orders --from snapshot           the rows that are there, then every change
  cdc-bench capture orders --slot orders --from snapshot --checkpoint orders.progress --output kafka
                                                     into Kafka, as Debezium would; goes on after any crash

A transaction is acknowledged to the server once its last line is out. A slot of your own holds back WAL until it is
read or dropped: --max-retained-wal ends with an error before it is too much.";

pub(super) const GENERATE_EXAMPLES: &str = "\
Examples:
  cdc-bench generate --events 1000 --rate 50         a thousand events, and nobody follows them
  cdc-bench generate --events 3 --dry-run            what such events look like";

pub(super) const CONSUME_EXAMPLES: &str = "\
Examples:
  cdc-bench consume --idle-timeout 5                 what the topic holds, then stop
  cdc-bench consume --max 1000 --json                a thousand records; several of these share the work as one group
  cdc-bench consume --dead-letter-topic shop.dead-letters
                                                     what cannot be written goes to a file, and to this topic";

pub(super) const WORKER_EXAMPLES: &str = "\
Examples:
  cdc-bench worker --test black-friday               on each machine, with the same servers in its environment
  cdc-bench run --workers 4 --test black-friday --rate 20000 --duration 600
                                                     on one more, which waits for four of them, and has the report
  cdc-bench worker --test black-friday --roles consume
                                                     a machine that consumes and does nothing else";

pub(super) const CLEANUP_EXAMPLES: &str = "\
Examples:
  cdc-bench cleanup                                  on the stack that is kept
  POSTGRES_HOST=db CONNECT_URL=http://connect:8083 MONGODB_URI=... KAFKA_BOOTSTRAP_SERVERS=kafka:9092 \\
    cdc-bench cleanup --json                         on servers of your own, as a program reads it

  cdc-bench cleanup --orphans --dry-run              what dead runs have left, and what would stay and why
  cdc-bench cleanup --orphans                        remove that; what lives, and what is set up, is left
  cdc-bench cleanup --run 20261124-021133-7f3a9c     what one run has left

Only what is written in the table cdc_bench.ledger, or carries a comment of ours, is removed.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  cdc-bench doctor                                   what a run would start, or find at your servers
  cdc-bench doctor --json                            the same for a program
  POSTGRES_HOST=db cdc-bench doctor --stack external what is missing for servers of your own";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  cdc-bench completions bash > ~/.local/share/bash-completion/completions/cdc-bench
  cdc-bench completions zsh > ~/.zfunc/_cdc-bench    with ~/.zfunc in fpath
  cdc-bench completions fish > ~/.config/fish/completions/cdc-bench.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  cdc-bench man --dir ~/.local/share/man/man1        then: man cdc-bench, man cdc-bench-run
  cdc-bench man --dir pages && man -l pages/cdc-bench-compare.1";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  cdc-bench verify                                   every row against every document
  cdc-bench verify 20261124-101500-7f3a9c            one run's";
