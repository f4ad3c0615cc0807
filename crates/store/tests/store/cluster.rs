//! A PostgreSQL server for the tests: one for the test program, a database for each test. It listens on a socket in a
//! directory of its own, writes nothing to the disk in time (a crash of the machine is not what is tested), and goes away
//! with the test program, however that ends, because a shell waits on a pipe from it.
//!
//! A missing PostgreSQL is a failure: `./test` installs it. Somebody who cannot have it says `CALLWRIGHT_TEST_POSTGRES=off`
//! and tests the embedded database alone; CI never says so.

use callwright_domain::Pii;
use callwright_store::{SharedDatabase, StoreSettings};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Text is ordered by a language here, so that an order which is not by bytes would show.
const SCRIPT: &str = r#"
bin=$(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)") || exit 3
directory=$(mktemp -d /tmp/callwright-pg-XXXXXX) || exit 4
trap 'rm -rf "$directory"' EXIT
"$bin/initdb" -D "$directory/data" -U callwright -A trust -E UTF8 --locale-provider=icu --icu-locale=en --locale=C \
    --no-sync >"$directory/initdb.log" 2>&1 || { cat "$directory/initdb.log" >&2; exit 5; }
"$bin/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=400 -c autovacuum=off >"$directory/log" 2>&1 &
server=$!
until "$bin/pg_isready" -q -h "$directory" -U callwright; do
    kill -0 $server 2>/dev/null || { cat "$directory/log" >&2; exit 6; }
    sleep 0.05
done
echo "$directory"
read -r _
kill -QUIT $server
wait $server
"#;

struct Cluster {
    directory: String,
    /// Its standard input is the pipe that the shell waits on.
    _shell: Child,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/tmp");
        if let Some((user, group)) = unprivileged() {
            shell.uid(user).gid(group);
        }
        let mut shell = shell.spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let directory = line.trim().to_owned();
        assert!(
            !directory.is_empty(),
            "PostgreSQL is needed for the tests and did not start (see above). Install it (Debian: `apt-get install \
             postgresql`), or test without it by setting CALLWRIGHT_TEST_POSTGRES=off"
        );
        Cluster { directory, _shell: shell }
    })
}

/// PostgreSQL does not run as root: then it runs as its own user, or as nobody.
fn unprivileged() -> Option<(u32, u32)> {
    let me = Command::new("id").arg("-u").output().expect("an id");
    if me.stdout.trim_ascii() != b"0" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("a list of users");
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

/// Settings of a node on a fresh database; none: PostgreSQL is switched off.
pub(crate) async fn database() -> Option<Database> {
    if std::env::var("CALLWRIGHT_TEST_POSTGRES").is_ok_and(|value| value == "off") {
        return None;
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let cluster = tokio::task::spawn_blocking(cluster).await.expect("a cluster");
    let url = |name: &str| format!("postgres://callwright@localhost/{name}?host={}", cluster.directory);
    let mut conn = PgConnectOptions::from_str(&url("postgres")).expect("a URL").connect().await.expect("reachable");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut conn).await.expect("a database");
    Some(Database { url: url(&name), directory: tempfile::tempdir().expect("a directory") })
}

/// A database of one test.
pub(crate) struct Database {
    pub(crate) url: String,
    directory: tempfile::TempDir,
}

impl Database {
    /// How PostgreSQL would carry out a statement, whatever its values: a session's plan that is kept.
    pub(crate) async fn plan_of(&self, (kinds, statement, values): (&str, &str, &str)) -> String {
        let mut conn = PgConnectOptions::from_str(&self.url).expect("a URL").connect().await.expect("reachable");
        let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE asked ({kinds}) AS {statement};");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut conn).await.expect("prepared");
        let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({values})"));
        let rows = sqlx::raw_sql(explain).fetch_all(&mut conn).await.expect("a plan");
        rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
    }

    /// Settings of a node of this name on it.
    pub(crate) fn node(&self, name: &str) -> StoreSettings {
        let shared =
            SharedDatabase { url: Pii::new(self.url.clone()), advertise_url: format!("http://{name}.example:8080") };
        StoreSettings { shared: Some(shared), ..StoreSettings::directory(self.directory.path().join(name), name) }
    }
}
