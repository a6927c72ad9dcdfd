//! A process under test as the bench sees it: its addresses, its processor time, its end.

use anyhow::Context as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux that we know.
const TICKS_PER_S: f64 = 100.0;

/// A child of this program on core 0.
pub struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Where bid requests go.
    pub exchange: SocketAddr,
    /// Where notices go.
    pub public: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    /// The operators' key.
    pub key: String,
}

impl Process {
    /// Runs this program once more as `role` and waits until it listens.
    pub fn start(role: &[&str]) -> anyhow::Result<Self> {
        Self::start_of(&std::env::current_exe()?, role)
    }

    /// Runs another build of this program as `role` and waits until it listens.
    pub fn start_of(program: &Path, role: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let words: Vec<_> = line.split_whitespace().collect();
        let [exchange, public, admin, key] = words[..] else {
            anyhow::bail!("{} {role:?} did not start", program.display())
        };
        let (exchange, public, admin) = (exchange.parse()?, public.parse()?, admin.parse()?);
        let key = key.to_owned();
        Ok(Self { child, said, exchange, public, admin, key })
    }

    /// Tells it something.
    pub fn tell(&mut self, order: &str) -> anyhow::Result<()> {
        let orders = self.child.stdin.as_mut().context("no input")?;
        writeln!(orders, "{order}").context("it does not listen")
    }

    /// Tells it something that it answers with a line.
    pub fn ask(&mut self, order: &str) -> anyhow::Result<String> {
        self.tell(order)?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Seconds of user and system time that all its threads have used.
    pub fn seconds(&self) -> anyhow::Result<(f64, f64)> {
        times(&std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?)
    }

    /// Seconds of both that its threads of this name have used.
    pub fn seconds_of(&self, thread: &str) -> anyhow::Result<f64> {
        let name = format!("({thread})");
        let mut seconds = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            if stat.contains(&name) {
                let (user, system) = times(&stat)?;
                seconds += user + system;
            }
        }
        Ok(seconds)
    }

    /// Stops it from running, so that it takes nothing from the other's core, or lets it go on.
    pub fn pause(&self, is_paused: bool) -> anyhow::Result<()> {
        let signal = if is_paused { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill {signal} failed");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when its input does, so that a build with `-Cprofile-generate` writes what it
        // has counted. A failure means that it has ended already.
        let _ = self.pause(false);
        let _ = self.child.wait();
    }
}

/// User and system seconds of a `stat`.
fn times(stat: &str) -> anyhow::Result<(f64, f64)> {
    // The name in parentheses may hold spaces; fields 14 and 15 are counted from 1.
    let after = stat.rsplit(')').next().context("no stat")?;
    let field =
        |at: usize| after.split_whitespace().nth(at - 3).and_then(|word| word.parse::<f64>().ok());
    let (user, system) = field(14).zip(field(15)).context("no times")?;
    Ok((user / TICKS_PER_S, system / TICKS_PER_S))
}

/// One HTTP request on a connection of its own: status and body.
pub fn call(at: SocketAddr, head: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(at)?;
    let length = body.len();
    write!(
        stream,
        "{head}\r\nhost: {at}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
    let status = answer.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Ok((status.context("no status")?, answer.split_off(end + 4)))
}
