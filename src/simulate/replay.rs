//! A public auction log played against a running engine, call by call: this room is the exchange, the
//! ad server and the clock, the log says what the others bid and who clicks.
//!
//! Money is dealt out in episodes of so many auctions; what an episode leaves is lost (the protocol of
//! Cai et al., WSDM 2017). Either all of them lie within one day and each begins with an edit of the
//! day's budget, or each is a day of its own, which is what a controller that spends a day's budget
//! evenly is made for. One call is open at a time, so the same log gives the same run.

use super::answer::{Answer, AnsweredBid, Macros, path_of};
use super::client::{Client, Reply};
use super::day::Endpoints;
use super::market::{Sale, sell};
use super::{Error, Rendered};
use crate::units::{Micros, Nanos, Timestamp};
use serde_json::{Value, json};
use std::fmt::Write as _;

const DAY_MS: i64 = 86_400_000;
/// Bytes of a refused body that an error shows.
const SHOWN_BYTES_MAX: usize = 200;
/// Milliseconds between auctions of a day with all episodes: longer steps only add ticks to wait for.
const STEP_MS_MAX: i64 = 100;
/// OpenRTB's loss reason for who was outbid.
const OUTBID: u32 = 102;

/// One auction of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    /// The highest bid of all others, a CPM.
    pub price: Micros,
    /// The click probability that the engine is told.
    pub p_click: f64,
    /// Whether the user clicks, if the ad is shown.
    pub is_clicked: bool,
}

/// When an episode's budget comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Episodes {
    /// By an edit of the day's budget to what is billed and the episode's own.
    Edited,
    /// With the day: each is one.
    Days,
}

/// How a log is played.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Midnight of the campaign's time zone.
    pub start: Timestamp,
    /// Auctions of an episode.
    pub auctions: usize,
    /// What an episode may cost: the campaign's daily budget, too.
    pub budget: Nanos,
    /// When it comes.
    pub episodes: Episodes,
    /// 1 pays the bid, 2 the price that it had to beat.
    pub auction_type: u8,
    /// The campaign, which is alone in the catalog.
    pub campaign: String,
}

/// The exchange's books of a log, and what the engine says of the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogResult {
    /// Auctions played.
    pub auctions: u64,
    /// Those with a bid.
    pub bids: u64,
    /// Those that were won, shown and billed.
    pub impressions: u64,
    /// Clicks on them.
    pub clicks: u64,
    /// What they cost, by the exchange.
    pub cost: Nanos,
    /// The sum of their click probabilities.
    pub value: f64,
    /// The sum of the episodes' budgets.
    pub budget: Nanos,
    /// What each episode cost.
    pub episodes: Vec<Nanos>,
    /// What the engine billed the campaign.
    pub billed: Nanos,
    /// What it owes to the exchange and billed nobody.
    pub absorbed: Nanos,
}

impl LogResult {
    /// The part of the budget that was spent.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        if self.budget == Nanos::ZERO {
            return 0.0;
        }
        self.cost.as_units_f64() / self.budget.as_units_f64()
    }

    /// Whether an episode cost more than its budget.
    #[must_use]
    pub fn is_overspent(&self, budget: Nanos) -> bool {
        self.episodes.iter().any(|cost| *cost > budget)
    }
}

/// Plays `log`; `progress` hears of every episode.
///
/// # Errors
/// `Error::Plan` for a log that does not fit, `Error::Connection` when the engine is not there,
/// `Error::Refused` for any answer that is neither a bid nor a no-bid, or a notice that is not taken.
pub async fn run_log(
    log: &[Logged],
    plan: &LogPlan,
    endpoints: &Endpoints,
    progress: &mut dyn FnMut(&LogResult),
) -> Result<LogResult, Error> {
    let mut run = Run::new(log.len(), plan, endpoints)?;
    run.begin().await?;
    for (number, logged) in log.iter().enumerate() {
        if number % plan.auctions == 0 {
            run.open_episode(number).await?;
            progress(&run.result);
        }
        run.auction(number, logged).await?;
    }
    run.close(log.len()).await?;
    progress(&run.result);
    Ok(run.result)
}

struct Run<'a> {
    plan: &'a LogPlan,
    step_ms: i64,
    bid_path: String,
    exchange: Client,
    public: Client,
    admin: Client,
    result: LogResult,
}

impl<'a> Run<'a> {
    fn new(auctions: usize, plan: &'a LogPlan, endpoints: &Endpoints) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Plan(reason.to_owned());
        let (admin, key) =
            endpoints.admin.as_ref().ok_or_else(|| refuse("a replay needs the admin listener"))?;
        // The last auction of a day leaves room for its notices.
        let day_of = |auctions: usize| DAY_MS / i64::try_from(auctions + 1).unwrap_or(i64::MAX);
        let step_ms = match plan.episodes {
            Episodes::Edited => day_of(auctions).min(STEP_MS_MAX),
            Episodes::Days => day_of(plan.auctions),
        };
        if plan.auctions == 0 || step_ms == 0 {
            return Err(refuse("an episode has at least one auction, a day one a millisecond"));
        }
        Ok(Self {
            plan,
            step_ms,
            bid_path: format!("/openrtb2/{}/bid", endpoints.exchange_name),
            exchange: Client::new(endpoints.exchange, None),
            public: Client::new(endpoints.public, None),
            admin: Client::new(*admin, Some(key)),
            result: LogResult::default(),
        })
    }

    fn time_of(&self, number: usize) -> Timestamp {
        let (day, place) = match self.plan.episodes {
            Episodes::Edited => (0, number),
            Episodes::Days => (number / self.plan.auctions, number % self.plan.auctions),
        };
        let (day, place) = (day as i64, place as i64);
        self.plan.start.plus_millis(day * DAY_MS + place * self.step_ms + self.step_ms / 2)
    }

    async fn begin(&mut self) -> Result<(), Error> {
        self.set_clock(self.plan.start).await
    }

    async fn set_clock(&mut self, now: Timestamp) -> Result<(), Error> {
        let (path, body) = ("/api/v1/simulation/clock", json!({ "now": now.0 }));
        let body = body.to_string().into_bytes();
        let reply = self.admin.post(now, path, "application/json", body).await?;
        expect(path, &reply, 200)
    }

    /// The bound becomes what is billed and the new budget: what was left is lost.
    async fn open_episode(&mut self, number: usize) -> Result<(), Error> {
        let budget = self.plan.budget;
        self.result.budget += budget;
        self.result.episodes.push(Nanos::ZERO);
        if self.plan.episodes == Episodes::Days {
            return Ok(());
        }
        let bound = (self.result.cost + budget).0 / 1_000;
        let path = format!("/api/v1/campaigns/{}", self.plan.campaign);
        let edit = json!({ "daily_budget_micros": u64::try_from(bound).unwrap_or(u64::MAX) });
        let now = self.time_of(number);
        let reply =
            self.admin.put(now, &path, "application/json", edit.to_string().into_bytes()).await?;
        expect(&path, &reply, 200)
    }

    async fn auction(&mut self, number: usize, logged: &Logged) -> Result<(), Error> {
        let now = self.time_of(number);
        let request = request(number, logged, self.plan.auction_type);
        self.result.auctions += 1;
        let media_type = "application/json";
        let reply =
            self.exchange.post(now, &self.bid_path, media_type, request.body.clone()).await?;
        if reply.status == 204 {
            return Ok(());
        }
        expect(&self.bid_path, &reply, 200)?;
        let defect = |what: String| Error::Plan(format!("auction {}: {what}", request.id));
        let answer = Answer::read(&reply.body, &request)
            .map_err(|wrong| defect(format!("the answer is {wrong:?}")))?;
        let bid = answer.seatbid.first().and_then(|seat| seat.bid.first());
        let bid = bid.ok_or_else(|| defect("an answer without a bid".to_owned()))?;
        let price = Micros::from_cpm_f64(bid.price).filter(|price| *price > Micros::ZERO);
        let price = price.ok_or_else(|| defect(format!("a price of {}", bid.price)))?;
        self.result.bids += 1;
        match sell(self.plan.auction_type, price, Micros::ZERO, logged.price) {
            Sale::Won(price) => self.win(now, &request, bid, price, logged).await,
            Sale::Lost { needed, .. } => {
                let macros = Macros {
                    auction: &request.id,
                    bid,
                    price,
                    loss: Some(OUTBID),
                    needed: Some(needed),
                };
                self.notify(now, bid.lurl.as_deref(), &macros).await
            }
        }
    }

    async fn win(
        &mut self,
        now: Timestamp,
        request: &Rendered,
        bid: &AnsweredBid,
        price: Micros,
        logged: &Logged,
    ) -> Result<(), Error> {
        let macros = Macros { auction: &request.id, bid, price, loss: None, needed: None };
        self.notify(now, bid.nurl.as_deref(), &macros).await?;
        self.notify(now, bid.burl.as_deref(), &macros).await?;
        // Due from here on: the engine has acknowledged it.
        let result = &mut self.result;
        let cost = price.per_impression();
        result.impressions += 1;
        result.cost += cost;
        result.value += logged.p_click;
        if let Some(episode) = result.episodes.last_mut() {
            *episode += cost;
        }
        if !logged.is_clicked {
            return Ok(());
        }
        result.clicks += 1;
        let url = bid.ext.outbid.click.as_deref().and_then(path_of);
        let path = url.ok_or_else(|| Error::Plan("a bid without a click URL".to_owned()))?;
        let reply = self.public.get(now, path).await?;
        expect(path, &reply, 302)
    }

    /// Sends one notice, which must be taken.
    async fn notify(
        &mut self,
        now: Timestamp,
        url: Option<&str>,
        macros: &Macros<'_>,
    ) -> Result<(), Error> {
        let path = url.and_then(|url| macros.path(url));
        let path = path.ok_or_else(|| Error::Plan("a bid without notice URLs".to_owned()))?;
        let reply = self.public.get(now, &path).await?;
        expect(&path, &reply, 200)
    }

    /// Lets everything settle, and asks the engine for its books.
    async fn close(&mut self, auctions: usize) -> Result<(), Error> {
        let now = self.time_of(auctions.saturating_sub(1)).plus_millis(self.step_ms / 2);
        self.set_clock(now).await?;
        let path = "/api/v1/report";
        let reply = self.admin.get(now, path).await?;
        expect(path, &reply, 200)?;
        let report: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let nanos = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map(Nanos);
        let budget = &report["budget"];
        let billed = nanos(&budget["campaigns"][0]["account"]["total"]["billed"]);
        let books = billed.zip(nanos(&budget["house"]["absorbed"]));
        let unread = || Error::Plan("the engine's report names no account".to_owned());
        (self.result.billed, self.result.absorbed) = books.ok_or_else(unread)?;
        Ok(())
    }
}

/// One banner, nobody behind it: no session, no consent and no cap has a say.
fn request(number: usize, logged: &Logged, auction_type: u8) -> Rendered {
    let id = format!("a{number}");
    let mut body = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "{{\"id\":\"{id}\",\"at\":{auction_type},\"tmax\":30000,\"cur\":[\"USD\"],\"imp\":[{{\"id\":\"1\",\
         \"banner\":{{\"w\":300,\"h\":250}},\"ext\":{{\"outbid\":{{\"pctr\":{}}}}}}}],\
         \"site\":{{\"id\":\"log\",\"domain\":\"news.example\"}},\"device\":{{\"geo\":{{\"country\":\"USA\"}}}}}}",
        logged.p_click
    );
    Rendered { id, body: body.into_bytes(), imps: Vec::new(), at: auction_type }
}

fn expect(path: &str, reply: &Reply, status: u16) -> Result<(), Error> {
    if reply.status == status {
        return Ok(());
    }
    let shown = &reply.body[..reply.body.len().min(SHOWN_BYTES_MAX)];
    Err(Error::Refused {
        path: path.split('?').next().unwrap_or_default().to_owned(),
        status: reply.status,
        body: String::from_utf8_lossy(shown).into_owned(),
    })
}
