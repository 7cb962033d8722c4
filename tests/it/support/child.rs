//! A child process that cannot outlive its test, with its output kept for the failure message. It
//! does not know what the program does.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{Clip, wait::until};

/// The user `nobody`: VLC and OBS refuse to run as root.
const NOBODY: u32 = 65534;

/// A running program; killed on drop.
pub struct Running {
    child: Child,
    name: String,
    log: File,
}

impl Running {
    /// Starts `command` with its output captured.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = tempfile::tempfile().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error} (run tests/run)"));
        Self { child, name, log }
    }

    /// FFmpeg publishing `clip` again and again in real time.
    pub fn ffmpeg(clip: Clip, url: &str) -> Self {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-v", "info", "-nostats"]);
        ffmpeg.args(["-re", "-stream_loop", "-1", "-i"]);
        ffmpeg
            .arg(clip.path())
            .args(["-c", "copy", "-f", "flv", url]);
        Self::start(&mut ffmpeg)
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        // Reads through /proc so that the child's write position does not move.
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.log)
        );
        fs::read(path).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The first line that `pick` gives a value for, as soon as it is written.
    #[track_caller]
    pub fn line<T>(&mut self, what: &str, seconds: u64, pick: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let log = self.log();
            if let Some(value) = log.lines().find_map(&pick) {
                return value;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{}: no {what} ({ended:?}); it wrote:\n{log}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub fn ended(&mut self, seconds: u64) -> ExitStatus {
        let what = format!("{} to end; it wrote:\n", self.name);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "waited for {what}{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end and fails the test unless it is a success.
    #[track_caller]
    pub fn succeeds(&mut self, seconds: u64) {
        let status = self.ended(seconds);
        assert!(status.success(), "{}: {status}:\n{}", self.name, self.log());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(sh(&command).success(), "{command}");
    }

    /// `kill -9`, and reaps it.
    pub fn kill(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut log = String::new();
            let _ = self.log.rewind();
            let _ = self.log.read_to_string(&mut log);
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            println!("--- the end of {}'s output", self.name);
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

/// Runs one shell command to its end.
pub fn sh(command: &str) -> ExitStatus {
    Command::new("sh").args(["-c", command]).status().unwrap()
}

/// True when the tests run as root, which is when they can drop to another user or mount.
pub fn root() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"))
}

/// `program` as an ordinary user with `home` as its home and nothing else of our environment.
pub fn unprivileged(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(home).env("HOME", home);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8");
    command.env("XDG_RUNTIME_DIR", home);
    if root() {
        for path in tree(home) {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn tree(path: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![path.to_path_buf()];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            all.extend(tree(&entry.unwrap().path()));
        }
    }
    all
}

/// An X server without a screen, and its display name such as `:7`.
pub fn x_server() -> (Running, String) {
    let mut server = Running::start(Command::new("Xvfb").args([
        "-displayfd",
        "1",
        "-screen",
        "0",
        "1024x768x24",
        "-nolisten",
        "tcp",
    ]));
    let display = until("Xvfb's display number", 20, || {
        server.alive().then_some(())?;
        server
            .log()
            .lines()
            .find_map(|line| line.trim().parse::<u32>().ok())
    });
    (server, format!(":{display}"))
}
