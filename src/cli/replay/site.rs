//! The server that a log is played against: the real binary in simulation mode, over a folder with
//! one advertiser, one campaign and one banner.

use crate::simulate::Endpoints;
use crate::units::Nanos;
use anyhow::Context as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The configuration's file.
pub const CONFIG: &str = "outbid.toml";
/// The strategy's name.
pub const STRATEGY: &str = "replay";
/// The campaign's name.
pub const CAMPAIGN: &str = "log";
/// The exchange's.
const EXCHANGE: &str = "log";

/// What the campaign is to have.
pub struct Site {
    /// The text of its strategy's file.
    pub strategy: String,
    /// A day's budget.
    pub daily_budget: Nanos,
    /// Its highest bid, CPM units.
    pub max_cpm: u64,
    /// What a click may cost, micros.
    pub cpc_micros: u64,
    /// Milliseconds between ticks.
    pub tick_ms: u64,
}

impl Site {
    /// Writes configuration, catalog and strategies below `folder`.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let money = |micros: i128| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let budget = money(self.daily_budget.0 / 1_000);
        let (max_cpm, cpc) = (self.max_cpm, money(self.cpc_micros.into()));
        let config = format!(
            "version = 1\n\n[paths]\ncatalog = \"catalog\"\nstrategies = \"strategies\"\n\
             state = \"state\"\n\n[server]\nexchange_listen = \"127.0.0.1:0\"\n\
             public_listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             public_url = \"https://replay.example\"\nworkers = 1\n\n[exchange.{EXCHANGE}]\n\
             charge_on = \"billing\"\n\n[budget]\ntick_ms = {}\n",
            self.tick_ms
        );
        let advertiser = "[[advertiser]]\nname = \"log\"\ncurrency = \"USD\"\nsector = \"other\"\n\
                          domains = [\"log.example\"]\n";
        let campaign = format!(
            "advertiser = \"log\"\n\n[[campaign]]\nname = \"{CAMPAIGN}\"\ncategory = \"replay\"\n\
             iab_cats = [\"IAB22\"]\nstrategy = \"{STRATEGY}\"\ndaily_budget = \"{budget}\"\n\
             landing_url = \"https://log.example/\"\n\n[campaign.bid]\nmax_cpm = \"{max_cpm}.00\"\n\
             cpc = \"{cpc}\"\n\n[[campaign.ad]]\nname = \"banner\"\n\
             banner = {{ w = 300, h = 250, image_url = \"https://cdn.log.example/banner.png\" }}\n"
        );
        for (path, text) in [
            (CONFIG, config.as_str()),
            ("catalog/advertisers.toml", advertiser),
            ("catalog/campaigns/log.toml", &campaign),
            (&format!("strategies/{STRATEGY}.toml"), &self.strategy),
        ] {
            let path = folder.join(path);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            written
                .and_then(|()| std::fs::write(&path, text))
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A server as its own process; it ends with this.
pub struct Server {
    child: Child,
    /// Where it listens, with its keys.
    pub endpoints: Endpoints,
}

impl Server {
    /// Starts `binary` and waits until it says where it listens.
    pub fn start(binary: &Path, config: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(["serve", "--simulation", "--config"])
            .arg(config)
            .env("OUTBID_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| binary.display().to_string())?;
        let endpoints =
            child.stdout.take().context("the server has no output").and_then(|output| {
                listen(BufReader::new(output)).with_context(|| {
                    format!("`{} serve` did not say where it listens", binary.display())
                })
            });
        match endpoints {
            Ok(endpoints) => Ok(Self { child, endpoints }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Without a farewell: what the server has acknowledged must outlive that.
fn end(child: &mut Child) {
    // Both fail only when it has ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads the lines that `outbid serve` prints when it is ready.
fn listen(mut output: BufReader<ChildStdout>) -> anyhow::Result<Endpoints> {
    let mut said = |what: &str| -> anyhow::Result<String> {
        let mut line = String::new();
        output.read_line(&mut line)?;
        let rest = line.strip_prefix(what).with_context(|| format!("`{}`", line.trim()))?;
        Ok(rest.trim().trim_end_matches("(shown once)").trim().to_owned())
    };
    let address = |url: String| -> anyhow::Result<SocketAddr> {
        let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        host.parse().with_context(|| url.clone())
    };
    let exchange = address(said("exchanges")?)?;
    let public = address(said("notices")?)?;
    let admin = address(said("admin")?)?;
    let admin_key = said("admin key")?;
    let events_key = said("events key")?;
    Ok(Endpoints {
        exchange,
        exchange_name: EXCHANGE.to_owned(),
        public,
        events_key,
        admin: Some((admin, admin_key)),
    })
}
