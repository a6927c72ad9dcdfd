//! The real binary: `outbid serve` as its own process.

use super::http::Http;
use super::site::{Site, request};
use super::{Bid, counter, path_of, until};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};

pub struct Process {
    child: Child,
    pub exchange: Http,
    pub public: Http,
    pub admin: Http,
    /// What it logs: warnings, and what it says of its end.
    pub log: Receiver<String>,
    /// Admin and events key, if they were shown.
    pub keys: Option<(String, String)>,
}

impl Process {
    /// The command that starts a server over this site.
    pub fn command(site: &Site) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbid"));
        command
            .args(["serve", "--config"])
            .arg(site.config_file())
            .env("OUTBID_LOG", "warn,outbid::server::wind_up=info")
            .env("NO_COLOR", "1")
            .current_dir(site.folder())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts `outbid serve` and waits until it is ready. `keys` are those of an earlier start.
    pub fn serve(site: &Site, keys: Option<(String, String)>) -> Self {
        Self::start(Self::command(site), keys)
    }

    /// As [`Process::serve`], by a command that was changed.
    pub fn start(mut command: Command, keys: Option<(String, String)>) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let lines = read_lines(child.stdout.take().expect("its output"));
        let log = read_lines(child.stderr.take().expect("its log"));
        let said = |what: &str| {
            let line: String =
                lines.recv_timeout(std::time::Duration::from_secs(20)).expect("a line");
            let rest = line.strip_prefix(what).unwrap_or_else(|| panic!("`{line}`, not `{what}`"));
            rest.trim().to_owned()
        };
        let address = |what: &str| -> SocketAddr {
            let url = said(what);
            let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
            host.parse().expect("an address")
        };
        let (exchange, public, admin) =
            (address("exchanges"), address("notices"), address("admin"));
        let key = |what: &str| said(what).trim_end_matches("(shown once)").trim().to_owned();
        let shown = keys.is_none().then(|| (key("admin key"), key("events key")));
        let used = shown.clone().or(keys).unwrap_or_default();
        let mut process = Self {
            child,
            exchange: Http::new(exchange, None),
            public: Http::new(public, Some(&used.1)),
            admin: Http::new(admin, Some(&used.0)),
            log,
            keys: shown,
        };
        let ready = |process: &mut Self| process.admin.get("/readyz").status == 200;
        until("ready", || ready(&mut process).then_some(()));
        let more: Vec<_> = lines.try_iter().collect();
        assert!(more.is_empty(), "nothing more is said: {more:?}");
        process
    }

    /// The number in the line of `/metrics` that starts so; 0 without one.
    pub fn metric(&mut self, start: &str) -> u64 {
        counter(&self.admin.get("/metrics").text(), start)
    }

    /// The bid that is made for `user`, if there is one.
    pub fn asked(&mut self, user: &str) -> Option<Bid> {
        let body = request("r", user).to_string();
        let reply = self.exchange.post("/openrtb2/x/bid", body.as_bytes());
        (reply.status == 200).then(|| Bid::of(&reply.json()))
    }

    /// Shows `user` the ad and bills it, once the server bids at all.
    pub fn show(&mut self, user: &str) {
        let bid = until("a bid", || self.asked(user));
        let billed = bid.billed_at("1.00");
        assert_eq!(self.public.get(path_of(&billed)).status, 200);
    }

    /// The cap holds for `user`: strangers are bid for, so money is there, and he is not.
    pub fn assert_capped(&mut self, user: &str) {
        for round in 0..5 {
            let mut number = 0;
            until("a bid for a stranger", || {
                number += 1;
                self.asked(&format!("{user}-stranger-{round}-{number}"))
            });
            assert!(self.asked(user).is_none(), "the cap of {user}");
        }
    }

    /// The interest that the first ad of the first campaign is priced with for `user`.
    pub fn interest(&mut self, user: &str) -> f64 {
        let asked = request("r", user).to_string();
        let reply = self.admin.post("/explain?exchange=x", asked.as_bytes()).json();
        reply["campaigns"][0]["ads"][0]["price"]["interest"].as_f64().unwrap_or(0.0)
    }

    /// Seconds of processor time that it has taken, all threads together.
    pub fn cpu_s(&self) -> f64 {
        /// Of the clock that `/proc` counts by, on every Linux that we know.
        const TICKS_PER_S: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("a process on Linux");
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: f64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / TICKS_PER_S
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }

    /// Kills it without a word (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().expect("the signal is sent");
        self.child.wait().expect("its status");
    }

    /// Waits for the end.
    pub fn ended(&mut self) -> ExitStatus {
        until("the process ends", || self.child.try_wait().expect("its status"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, read until its end whether or not anybody takes them.
fn read_lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody may be interested any more.
            let _ = sender.send(line);
        }
    });
    receiver
}
