//! Somebody's database: two tables that the connector captures, one that it leaves out, and work on them.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use super::super::stack::TestStack;

const TABLES: &str = "
    create table customers (id bigint generated always as identity primary key, name text, tier int default 0);
    create table orders (region text, id int, status text default 'new', primary key (region, id));
    create table unheard (id int generated always as identity primary key);
    create publication shop for table customers, orders, unheard;";

/// Most connections of a load.
const CONNECTIONS: usize = 8;

/// The database `shop`.
pub struct Shop<'a> {
    stack: &'a TestStack,
    config: String,
    /// By connection, whose rows are its own.
    next: [AtomicI32; CONNECTIONS],
}

/// What a load has done, in changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Of the captured tables. An update of a key is two.
    pub changes: u64,
    pub deletes: u64,
    pub unheard: u64,
}

impl Done {
    fn and(self, other: Self) -> Self {
        Self {
            changes: self.changes + other.changes,
            deletes: self.deletes + other.deletes,
            unheard: self.unheard + other.unheard,
        }
    }
}

impl<'a> Shop<'a> {
    pub fn open(stack: &'a TestStack) -> Self {
        stack.sql("create database shop");
        let env = |name: &str| &stack.env[name];
        let shop = Self {
            stack,
            config: format!(
                "host={} port={} user={} password={} dbname=shop",
                env("POSTGRES_HOST"),
                env("POSTGRES_PORT"),
                env("POSTGRES_USER"),
                env("POSTGRES_PASSWORD")
            ),
            next: Default::default(),
        };
        shop.sql(TABLES);
        shop
    }

    pub async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.config, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    pub fn sql(&self, text: &str) {
        self.stack.block_on(async {
            let client = self.connect().await;
            client.batch_execute(text).await.unwrap();
        });
    }

    /// Inserts, updates and deletes on both tables, at so many transactions a second. A transaction has one to two changes.
    pub fn load(&self, span: Duration, rate: u32) -> Done {
        // A commit waits for the disk.
        let connections = usize::try_from(rate / 20).unwrap().clamp(1, CONNECTIONS);
        let period = Duration::from_secs(1) * u32::try_from(connections).unwrap() / rate;
        self.stack.block_on(async {
            let work = (0..connections).map(|connection| self.work(connection, span, period));
            let done = futures_util::future::join_all(work).await;
            done.into_iter().fold(Done::default(), Done::and)
        })
    }

    async fn work(&self, connection: usize, span: Duration, period: Duration) -> Done {
        let client = self.connect().await;
        let mut done = Done::default();
        let mut ticks = tokio::time::interval(period);
        let end = tokio::time::Instant::now() + span;
        let first = i32::try_from(connection).unwrap() * 10_000_000;
        while ticks.tick().await < end {
            let n = self.next[connection].fetch_add(1, Ordering::Relaxed);
            transaction(&client, first + n, &mut done).await;
        }
        done
    }

    /// Drops the database and the slots on it, once nobody reads them.
    pub fn close(self) {
        self.stack.sql(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where database = 'shop' and active",
        );
        super::super::stack::until("the slots to be unused", || {
            self.stack.try_sql(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = 'shop'",
            ).is_some()
        });
        self.stack.sql("drop database shop with (force)");
    }
}

async fn transaction(client: &Client, n: i32, done: &mut Done) {
    let run = async |text: String| client.execute(&*text, &[]).await.unwrap();
    match n % 4 {
        0 => done.changes += run(format!("insert into customers (name) values ('c{n}')")).await,
        1 => {
            done.changes += run(format!(
                "insert into orders (region, id) values ('eu', {n})"
            ))
            .await
        }
        2 if n % 40 == 2 => {
            let last = n - 1;
            let moved =
                format!("update orders set region = 'us' where region = 'eu' and id = {last}");
            let moved = run(moved).await;
            done.changes += 2 * moved;
            done.deletes += moved;
        }
        2 => {
            let last = n - 1;
            run("begin".to_owned()).await;
            for status in ["packed", "sent"] {
                done.changes += run(format!(
                    "update orders set status = '{status}' where id = {last}"
                ))
                .await;
            }
            run("commit".to_owned()).await;
        }
        _ => {
            let deleted = run(format!("delete from orders where id = {}", n - 6)).await;
            done.changes += deleted;
            done.deletes += deleted;
            done.unheard += run("insert into unheard default values".to_owned()).await;
        }
    }
}
