//! A server in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

/// A running server; killed when dropped.
pub struct Child {
    process: std::process::Child,
    /// Where bid requests go.
    pub exchange: SocketAddr,
    /// Where notices go, if it takes any.
    pub public: Option<SocketAddr>,
    /// What it says of itself.
    pub greeting: String,
    admin: Option<(SocketAddr, String)>,
}

/// Processor time.
#[derive(Clone, Copy)]
pub struct Cpu {
    /// In the program.
    pub user_us: f64,
    /// In the kernel for it.
    pub system_us: f64,
}

impl std::ops::Sub for Cpu {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self {
            user_us: self.user_us - before.user_us,
            system_us: self.system_us - before.system_us,
        }
    }
}

impl Child {
    /// Starts this program again with `arguments` and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("a program");
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts again");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a greeting");
        // exchange | public | admin | key | greeting
        let parts: Vec<&str> = line.trim().splitn(5, '|').collect();
        let address = |text: &str| text.parse().ok();
        Self {
            process,
            exchange: address(parts[0]).expect("an address"),
            public: address(parts[1]),
            admin: address(parts[2]).map(|admin| (admin, parts[3].to_owned())),
            greeting: parts[4].to_owned(),
        }
    }

    /// Processor time so far, all threads together.
    pub fn cpu(&self) -> Cpu {
        let file = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(file).expect("Linux");
        // Behind the name in brackets; user and system time are fields 14 and 15 of the line, in
        // hundredths of a second.
        let rest = text.rsplit_once(')').expect("a name").1;
        let field = |at: usize| rest.split_whitespace().nth(at).and_then(|n| n.parse::<f64>().ok());
        let micros = |at| field(at).expect("a number") * 10_000.0;
        Cpu { user_us: micros(11), system_us: micros(12) }
    }

    /// Its own histograms, by stage.
    pub fn latency(&self) -> String {
        let Some((admin, key)) = &self.admin else { return String::new() };
        let mut stream = TcpStream::connect(admin).expect("the admin listener");
        let request = format!(
            "GET /latency HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let stages: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let mut lines = vec!["stage, us        mean      p50      p99    p99.9".to_owned()];
        for (stage, figures) in stages.as_object().into_iter().flatten() {
            let figure = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
            lines.push(format!(
                "{stage:12} {:>8.2} {:>8.2} {:>8.2} {:>8.2}",
                figure("mean_us"),
                figure("p50_us"),
                figure("p99_us"),
                figure("p999_us")
            ));
        }
        lines.join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing more to do then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
