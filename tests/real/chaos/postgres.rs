//! A PostgreSQL of this test, in a folder of its own, at a port of the loopback.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;

use crate::{
    audit::Tables,
    processes::{Folder, Running},
};

/// Where `initdb` and `postgres` are; `None` if they are not installed, and need not be.
pub(crate) fn binaries() -> Option<PathBuf> {
    let mut folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    // Debian keeps them here, by version.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    let found = folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "there is no PostgreSQL (Debian: postgresql)");
        eprintln!("skipped: there is no PostgreSQL (Debian: postgresql)");
    }
    found
}

pub(crate) struct Postgres {
    binaries: PathBuf,
    home: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
    }
}

/// As a user that PostgreSQL accepts: not root.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

impl Postgres {
    pub(crate) fn start(binaries: &Path, folder: &Folder) -> Self {
        let home = folder.path().join("postgres");
        std::fs::create_dir(&home).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&home).status().unwrap().success(), "a user postgres");
        }
        let mut initdb = command(&binaries.join("initdb"));
        initdb.current_dir(&home).args(["--auth", "trust", "--username", "operator", "--no-sync", "--pgdata", "data"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut database = Self { binaries: binaries.to_owned(), home, port, running: None };
        database.run();
        database
    }

    fn run(&mut self) {
        let mut postgres = command(&self.binaries.join("postgres"));
        postgres.current_dir(&self.home).args(["-D", "data", "-p", &self.port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        self.running = Some(Running(postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
        let begin = Instant::now();
        while self.client_works().is_err() {
            assert!(begin.elapsed() < Duration::from_secs(30), "PostgreSQL does not start");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// All its processes end at once, and nothing is written any more (SIGQUIT, "immediate shutdown"): as after a crash, what
    /// is in the write-ahead log is what there is.
    fn crash(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = Command::new("kill").args(["-QUIT", &running.0.id().to_string()]).status();
            let _ = running.0.wait();
        }
    }

    pub(crate) fn crash_and_start(&mut self) {
        self.crash();
        self.run();
    }

    pub(crate) fn url(&self) -> String {
        format!("postgresql://operator@127.0.0.1:{}/postgres", self.port)
    }

    fn client_works(&self) -> Result<(), Box<dyn std::error::Error>> {
        TcpStream::connect(("127.0.0.1", self.port))?;
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
            let connection = tokio::spawn(connection);
            client.simple_query("SELECT 1").await?;
            connection.abort();
            Ok(())
        })
    }

    pub(crate) fn tables(&self) -> Tables {
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
            tokio::spawn(connection);
            let mut tables = Tables::default();
            for (name, table) in tables.by_name() {
                for row in client.query(&format!("SELECT key, value FROM {name}"), &[]).await.unwrap() {
                    table.insert(row.get(0), row.get(1));
                }
            }
            tables
        })
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
