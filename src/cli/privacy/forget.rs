//! `outbid privacy forget`: a user's wish to be forgotten, told to a running server.

use crate::cli::admin::AdminKey;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Forget a user: sessions and ids, what waits to be learned, last clicks and views, trails.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    outbid privacy forget --ifa 6D92078A-8246-4BA4-AE5B-76104861E7DC --key-file admin.key\n  \
    outbid privacy forget --buyeruid demo b-1 --server 127.0.0.1:8082\n  \
    printf customer-7 | outbid privacy forget --id -\n\n\
    `-` in place of an id reads it from standard input, where no list of processes shows it. All ids \
    that are known to be the same user's are forgotten too. It is durable when this ends with exit \
    code 0; no server needs to be told again.")]
pub struct Args {
    /// The admin listener of the server.
    #[arg(long, default_value = "127.0.0.1:8082")]
    server: SocketAddr,
    #[command(flatten)]
    admin: AdminKey,
    #[command(flatten)]
    user: User,
}

/// One id, in the namespace that gave it out.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct User {
    /// An advertising id of a device.
    #[arg(long, value_name = "ID")]
    ifa: Option<String>,
    /// Our id, as an exchange matched it.
    #[arg(long, num_args = 2, value_names = ["EXCHANGE", "ID"])]
    buyeruid: Option<Vec<String>>,
    /// A shared id.
    #[arg(long, num_args = 2, value_names = ["SOURCE", "ID"])]
    eid: Option<Vec<String>>,
    /// An account's id (`user.id`).
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::cli::start_log("warn");
    let body = json!({ "user": args.user.named()? }).to_string();
    let said = args.admin.tell(args.server, "/api/v1/privacy/forget", body)?;
    println!("{said}");
    Ok(())
}

impl User {
    /// As events name users.
    fn named(&self) -> anyhow::Result<Value> {
        let read = |id: &str| match id {
            "-" => std::io::read_to_string(std::io::stdin()).map(|text| text.trim().to_owned()),
            id => Ok(id.to_owned()),
        };
        let pair = |named: &Option<Vec<String>>| match named.as_deref() {
            Some([first, id]) => Some((first.clone(), id.clone())),
            _ => None,
        };
        Ok(match (&self.ifa, &self.id, pair(&self.buyeruid), pair(&self.eid)) {
            (Some(id), ..) => json!({ "ifa": read(id)? }),
            (_, Some(id), ..) => json!({ "id": read(id)? }),
            (.., Some((exchange, id)), _) => {
                json!({ "buyeruid": { "exchange": exchange, "id": read(&id)? } })
            }
            (.., Some((source, id))) => json!({ "eid": { "source": source, "id": read(&id)? } }),
            _ => anyhow::bail!("a user is needed"),
        })
    }
}
