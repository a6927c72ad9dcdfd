//! How subcommands ask a running server through its admin listener.

use crate::simulate::Client;
use crate::units::Timestamp;
use anyhow::Context as _;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A server in simulation goes by the largest time that it was told: 0 tells it nothing.
const NO_TIME: Timestamp = Timestamp(0);

/// Where the admin key is.
#[derive(clap::Args)]
pub struct AdminKey {
    /// A file with the server's admin key; else OUTBID_ADMIN_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The server's admin key.
    #[arg(long, env = "OUTBID_ADMIN_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl AdminKey {
    /// What the server says at `path`; nothing where there is no server to ask.
    pub fn ask<T: DeserializeOwned>(
        &self,
        server: Option<SocketAddr>,
        path: &str,
    ) -> anyhow::Result<Option<T>> {
        let Some(server) = server else {
            anyhow::ensure!(self.key_file.is_none(), "--key-file is for a --server");
            return Ok(None);
        };
        let mut client = self.client(server)?;
        let reply = actix::System::new().block_on(client.get(NO_TIME, path))?;
        anyhow::ensure!(reply.status == 200, "{server} answered {}", reply.status);
        let told = serde_json::from_slice(&reply.body);
        told.map(Some).with_context(|| format!("the answer of {server}"))
    }

    /// Sends JSON to `path`; what the server says where it does as it is told.
    pub fn tell(&self, server: SocketAddr, path: &str, body: String) -> anyhow::Result<String> {
        let mut client = self.client(server)?;
        let told = client.post(NO_TIME, path, "application/json", body.into_bytes());
        let reply = actix::System::new().block_on(told)?;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        anyhow::ensure!(reply.status == 200, "{server} answered {}: {said}", reply.status);
        Ok(said)
    }

    fn client(&self, server: SocketAddr) -> anyhow::Result<Client> {
        let key = match &self.key_file {
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Some(text.trim().to_owned())
            }
            None => self.key.clone(),
        };
        Ok(Client::new(server, key.as_deref()))
    }
}
