//! The real binary as a process, with only the environment that the test gives it and what makes it independent of the
//! machine.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A command line, run in an empty directory, so that no `.env` is found.
pub(crate) struct Tenantry {
    command: Command,
    directory: TempDir,
}

/// A running server; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Tenantry {
    pub(crate) fn new(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        // The free space on this machine's disk does not matter to the tests.
        command.args(arguments).env_clear().env("MIN_FREE_STORAGE_PERCENT", "0");
        command.envs(settings.iter().copied()).current_dir(directory.path());
        Self { command, directory }
    }

    /// With a variable of arbitrary bytes.
    pub(crate) fn variable(mut self, name: &str, value: &[u8]) -> Self {
        self.command.env(name, OsStr::from_bytes(value));
        self
    }

    /// With this `.env` file.
    pub(crate) fn env_file(self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory.path().join(".env"), text).expect("written");
        self
    }

    /// Runs it to the end.
    pub(crate) fn output(mut self) -> Output {
        self.command.output().expect("the binary runs")
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let shared = log.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                shared.lock().expect("no panic").push_str(&line);
                line.clear();
            }
        });
        Running { child, log, reader: Some(reader), _directory: self.directory }
    }
}

impl Running {
    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// The address from its log, once it listens.
    pub(crate) fn url(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.split_once("address=")?;
        rest.split_whitespace().next().map(|address| format!("http://{address}"))
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end: the exit code and the whole log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        self.reader.take().expect("once").join().expect("no panic");
        (status.code(), self.log())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In most tests it has ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Both outputs of a finished run.
pub(crate) fn said(output: &Output) -> String {
    let mut text = String::new();
    for mut part in [output.stdout.as_slice(), output.stderr.as_slice()] {
        part.read_to_string(&mut text).expect("UTF-8");
    }
    text
}
