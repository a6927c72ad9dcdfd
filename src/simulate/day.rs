//! One simulated day against a running engine, call by call in order of simulated time: bid
//! requests and events as users produce them, then whatever follows from the answers (notices,
//! clicks, purchases) when it falls due. One call is open at a time, so the same seed against a
//! deterministic engine gives the same day.

use super::answer::{Answer, AnsweredBid, Valid, check};
use super::books::{DayResult, Totals};
use super::client::Client;
use super::market::{Sale, sell};
use super::outcome::Queue;
use super::request::{Opportunity, Rendered};
use super::shop::ShopEvent;
use super::traffic::{DAY_MS, Kind};
use super::world::World;
use super::{Defect, Error};
use crate::units::{Nanos, Timestamp};
use serde::Deserialize;
use std::net::SocketAddr;

/// Progress is told this often a day.
const PROGRESS_STEPS: i64 = 200;
/// Bytes of a refused body that an error shows.
const SHOWN_BYTES_MAX: usize = 200;

/// Where the engine listens.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The exchange listener.
    pub exchange: SocketAddr,
    /// Our name in `/openrtb2/{exchange}/bid`.
    pub exchange_name: String,
    /// The public listener.
    pub public: SocketAddr,
    /// The key for `POST /events`.
    pub events_key: String,
    /// The admin listener and its key; without it the clock is not advanced at the end and the
    /// engine's report is not fetched.
    pub admin: Option<(SocketAddr, String)>,
}

/// What goes wrong between an exchange and a bidder; shares between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Wins that are never shown, hence never billed.
    pub unrendered: f64,
    /// Win notices that get lost.
    pub win_lost: f64,
    /// Billing notices that get lost.
    pub billing_lost: f64,
    /// Losses that nobody tells.
    pub loss_untold: f64,
    /// Win and billing notices that arrive twice.
    pub duplicated: f64,
    /// Billing notices that are held back.
    pub late: f64,
    /// For how long at most, in milliseconds (at least two minutes).
    pub late_ms: i64,
}

impl Default for Faults {
    /// An ordinary day; late notices stay within a billing window of an hour.
    fn default() -> Self {
        Self {
            unrendered: 0.04,
            win_lost: 0.005,
            billing_lost: 0.001,
            loss_untold: 0.1,
            duplicated: 0.01,
            late: 0.01,
            late_ms: 45 * 60_000,
        }
    }
}

/// What to play.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayPlan {
    /// When the day begins; midnight of the campaigns' time zone.
    pub start: Timestamp,
    /// About how many bid requests it has.
    pub requests: u64,
    /// Milliseconds after the day during which notices and purchases still arrive.
    pub tail_ms: i64,
    /// What goes wrong.
    pub faults: Faults,
}

impl DayPlan {
    /// An ordinary day of this many requests, with a tail of two hours.
    #[must_use]
    pub fn new(start: Timestamp, requests: u64) -> Self {
        Self { start, requests, tail_ms: 2 * 3_600_000, faults: Faults::default() }
    }
}

/// How far a day is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Share of the simulated time, 0 to 1.
    pub fraction: f64,
    /// Simulated time.
    pub now: Timestamp,
    /// Bid requests so far.
    pub requests: u64,
    /// Valid bids so far.
    pub bids: u64,
    /// Imps won so far.
    pub wins: u64,
    /// Clicks so far.
    pub clicks: u64,
    /// Charged so far.
    pub spend: Nanos,
}

/// Plays a day and answers the exchange's books. `progress` is called about 200 times.
///
/// # Errors
/// `Error::Connection` when the engine is not there or hangs, `Error::Refused` when it refuses our
/// name or key. Bad answers to single calls are counted, not errors.
pub async fn run_day(
    world: &World,
    plan: &DayPlan,
    endpoints: &Endpoints,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DayResult, Error> {
    let mut run = Run::new(world, plan, endpoints);
    let end = plan.start.plus_millis(DAY_MS + plan.tail_ms);
    let mut steps = world.day(plan.start, plan.requests).into_iter().peekable();
    let mut told = -1;
    loop {
        let next_step = steps.peek().map(|step| step.at);
        let due = run.queue.next_at().filter(|at| *at <= end);
        // On a tie the older cause goes first: what was scheduled.
        let now = match (next_step, due) {
            (Some(step), Some(due)) => step.min(due),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => break,
        };
        if due == Some(now) {
            run.deliver_next().await?;
        } else if let Some(step) = steps.next() {
            match step.kind {
                Kind::Events(events) => run.post_events(now, &events).await?,
                Kind::Request(opportunity) => run.auction(&opportunity).await?,
            }
        }
        let permille = now.millis_since(plan.start) * PROGRESS_STEPS / DAY_MS;
        if permille > told {
            told = permille;
            progress(&run.progress(now));
        }
    }
    run.close(end).await?;
    progress(&run.progress(end));
    Ok(run.result)
}

/// A day under way.
pub(super) struct Run<'a> {
    pub(super) world: &'a World,
    pub(super) plan: &'a DayPlan,
    endpoints: &'a Endpoints,
    bid_path: String,
    exchange: Client,
    pub(super) public: Client,
    events: Client,
    pub(super) queue: Queue,
    pub(super) result: DayResult,
    pub(super) spend: Nanos,
}

/// The engine's answer to `POST /events`.
#[derive(Deserialize)]
struct EventsReply {
    accepted: u64,
    #[serde(default)]
    rejected: Vec<serde::de::IgnoredAny>,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, plan: &'a DayPlan, endpoints: &'a Endpoints) -> Self {
        Self {
            world,
            plan,
            endpoints,
            bid_path: format!("/openrtb2/{}/bid", endpoints.exchange_name),
            exchange: Client::new(endpoints.exchange, None),
            public: Client::new(endpoints.public, None),
            events: Client::new(endpoints.public, Some(&endpoints.events_key)),
            queue: Queue::default(),
            result: DayResult { start: plan.start, ..DayResult::default() },
            spend: Nanos::ZERO,
        }
    }

    pub(super) fn totals(&mut self) -> &mut Totals {
        &mut self.result.totals
    }

    fn progress(&self, now: Timestamp) -> Progress {
        let totals = &self.result.totals;
        let fraction = now.millis_since(self.plan.start) as f64 / DAY_MS as f64;
        Progress {
            fraction: fraction.clamp(0.0, 1.0),
            now,
            requests: totals.requests,
            bids: totals.bids,
            wins: totals.wins,
            clicks: totals.clicks,
            spend: self.spend,
        }
    }

    async fn auction(&mut self, opportunity: &Opportunity) -> Result<(), Error> {
        let mut request = self.world.render(opportunity);
        let body = std::mem::take(&mut request.body);
        self.totals().requests += 1;
        let path = &self.bid_path;
        let reply = self.exchange.post(opportunity.at, path, "application/json", body).await?;
        match reply.status {
            200 => match Answer::read(&reply.body, &request) {
                Ok(answer) => self.judge(opportunity, &request, answer),
                Err(defect) => self.defect(defect),
            },
            204 => self.totals().no_bids += 1,
            status @ (401 | 403 | 404) => return Err(refused(path, status, &reply.body)),
            _ => self.totals().errors += 1,
        }
        Ok(())
    }

    fn defect(&mut self, defect: Defect) {
        *self.result.defects.entry(defect).or_default() += 1;
    }

    /// Sells each imp to its best valid bid or to the competition.
    fn judge(&mut self, opportunity: &Opportunity, request: &Rendered, answer: Answer) {
        let blocked = &self.world.publisher(opportunity.publisher).badv;
        let mut valid: Vec<(Valid, AnsweredBid)> = Vec::new();
        for bid in answer.seatbid.into_iter().flat_map(|seat| seat.bid) {
            match check(&bid, request, blocked) {
                Ok(found) => valid.push((found, bid)),
                Err(defect) => self.defect(defect),
            }
        }
        if valid.is_empty() {
            return;
        }
        self.totals().answered += 1;
        self.totals().bids += valid.len() as u64;
        // The best bid of each imp first; the sort is stable, so the seat's order breaks ties.
        valid.sort_by_key(|(found, _)| (found.position, std::cmp::Reverse(found.price)));
        let mut best = None;
        for (found, bid) in valid {
            let competing = self.world.competing_price(opportunity, found.position);
            let sale = match best {
                Some((position, needed)) if position == found.position => {
                    Sale::Lost { reason: 102, needed }
                }
                _ => sell(request.at, found.price, found.floor, competing),
            };
            best = Some((found.position, found.price.max(competing)));
            match sale {
                Sale::Won(price) => self.won(opportunity, &request.id, found.position, bid, price),
                Sale::Lost { reason, needed } => {
                    self.lost(opportunity, &request.id, found.position, &bid, reason, needed);
                }
            }
        }
    }

    pub(super) async fn post_events(
        &mut self,
        now: Timestamp,
        events: &[ShopEvent],
    ) -> Result<(), Error> {
        let mut body = Vec::new();
        for event in events {
            let line = self.world.event_line(event, &self.endpoints.exchange_name);
            body.extend_from_slice(line.as_bytes());
            body.push(b'\n');
        }
        let reply = self.events.post(now, "/events", "application/x-ndjson", body).await?;
        if reply.status != 200 {
            return Err(refused("/events", reply.status, &reply.body));
        }
        let unreadable = |_| refused("/events", reply.status, &reply.body);
        let counts: EventsReply = serde_json::from_slice(&reply.body).map_err(unreadable)?;
        let totals = self.totals();
        totals.batches += 1;
        totals.events_accepted += counts.accepted;
        totals.events_rejected += counts.rejected.len() as u64;
        Ok(())
    }

    /// Moves the engine's clock to the end of the day and its tail, then fetches its report.
    async fn close(&mut self, end: Timestamp) -> Result<(), Error> {
        let Some((address, key)) = &self.endpoints.admin else {
            return Ok(());
        };
        let mut admin = Client::new(*address, Some(key));
        let path = "/api/v1/simulation/clock";
        let body = format!("{{\"now\":{}}}", end.0).into_bytes();
        let reply = admin.post(end, path, "application/json", body).await?;
        if !(200..300).contains(&reply.status) {
            return Err(refused(path, reply.status, &reply.body));
        }
        let path = "/api/v1/report";
        let reply = admin.get(end, path).await?;
        if reply.status != 200 {
            return Err(refused(path, reply.status, &reply.body));
        }
        let unreadable = |_| refused(path, reply.status, &reply.body);
        self.result.engine_report = Some(serde_json::from_slice(&reply.body).map_err(unreadable)?);
        Ok(())
    }
}

fn refused(path: &str, status: u16, body: &[u8]) -> Error {
    let shown = &body[..body.len().min(SHOWN_BYTES_MAX)];
    let body = String::from_utf8_lossy(shown).into_owned();
    Error::Refused { path: path.to_owned(), status, body }
}
