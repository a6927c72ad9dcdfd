//! The ledger's transitions as tables: a line is a command and what it must do.

use super::*;
use crate::catalog::PPM;
use crate::units::{
    AdvertiserId, CampaignId, CurrencyCode, HoldId, LeaseId, Micros, Nanos, Timestamp,
};

pub(super) const CAMPAIGN: CampaignId = CampaignId(1);
pub(super) const ADVERTISER: AdvertiserId = AdvertiserId(2);
const WINDOWS: Windows = Windows { decision_ttl_ms: 10_000, billing_window_ms: 50_000 };

/// Runs a table. Amounts are nanos, times seconds. Lines:
/// `budget DAILY [from DAY] [lifetime L] [advertiser A] [ratio PPM] [exploration PPM] [paused]
/// [euro] [flight FIRST LAST BOUND]...` · `at SECONDS` · `open L DAY ASKED [explore]` ·
/// `adjust DAY AMOUNT KEY` · `topup L ASKED` · `return L AMOUNT` · `late L AMOUNT` · `close L` ·
/// `uncovered L SEQUENCE AMOUNT` · `settle L SEQUENCE DAY HELD PRICE` · `lost` · `expire` ·
/// `balance DAY billed B late L leased S`, each with ` -> outcome` where it has one.
pub(super) fn check(table: &str) -> Ledger {
    let mut world =
        World { ledger: Ledger::default(), now: Timestamp(0), steps: [0; 8], editions: 0 };
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" -> ").unwrap_or((line, ""));
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(world.run(&words), expected, "{line}");
        world.ledger.audit().unwrap_or_else(|violation| panic!("{line}: {violation}"));
        // What is saved and read again is the same, and goes on so.
        let saved = Ledger::decode(&world.ledger.encode(), world.ledger.position());
        let before = std::mem::replace(&mut world.ledger, saved.expect("a snapshot"));
        assert_eq!(before, world.ledger, "{line}");
    }
    world.ledger
}

struct World {
    ledger: Ledger,
    now: Timestamp,
    steps: [u32; 8],
    editions: u64,
}

fn lease(number: i128) -> LeaseId {
    LeaseId { node: 0, core: 0, boot: 1, number: number as u32 }
}

fn budget(words: &[&str]) -> Budget {
    let number = |at: usize| words[at].parse::<i128>().expect("a number");
    let place = |name: &str| words.iter().position(|word| *word == name);
    let named = |name: &str| place(name).map(|at| Nanos(number(at + 1)));
    let ppm = |name: &str, or: u32| named(name).map_or(or, |ppm| ppm.0 as u32);
    let flights = words.iter().enumerate().filter(|(_, word)| **word == "flight");
    let day = |at: usize| DayNumber(number(at) as i32);
    Budget {
        currency: place("euro").map_or(CurrencyCode::USD, |_| CurrencyCode::parse("EUR").unwrap()),
        advertiser_bound: named("advertiser"),
        lifetime: named("lifetime"),
        daily: Nanos(number(1)),
        flights: flights
            .map(|(at, _)| Flight {
                first: day(at + 1),
                last: day(at + 2),
                bound: Nanos(number(at + 3)),
            })
            .collect(),
        daily_max_ppm: ppm("ratio", PPM),
        exploration_ppm: ppm("exploration", 0),
        is_active: place("paused").is_none(),
    }
}

impl World {
    fn run(&mut self, words: &[&str]) -> String {
        let number = |index: usize| words[index].parse::<i128>().expect("a number");
        let named = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            Some(Nanos(number(at + 1)))
        };
        let command = match words[0] {
            "at" => {
                self.now = Timestamp(number(1) as i64 * 1_000);
                return String::new();
            }
            "balance" => {
                let day = DayNumber(number(1) as i32);
                let day = self.ledger.view(CAMPAIGN, day).expect("known").day;
                let expected = [named("billed"), named("late"), named("leased")];
                assert_eq!(
                    [Some(day.billed), Some(day.late), Some(day.leased)],
                    expected,
                    "{words:?}"
                );
                return String::new();
            }
            "budget" => {
                self.editions += 1;
                Command::SetCampaign {
                    campaign: CAMPAIGN,
                    advertiser: ADVERTISER,
                    budget: budget(words),
                    from: DayNumber(named("from").map_or(1, |day| day.0 as i32)),
                    edition: self.editions,
                }
            }
            "settle" => Command::Settle {
                hold: HoldId { lease: lease(number(1)), sequence: number(2) as u32 },
                campaign: CAMPAIGN,
                day: DayNumber(number(3) as i32),
                held: Micros(number(4) as u64),
                price: Micros(number(5) as u64),
                due: Due::of(Timestamp(0), WINDOWS),
                notice: Notice::Billing,
            },
            "adjust" => Command::Adjust {
                campaign: CAMPAIGN,
                day: DayNumber(number(1) as i32),
                amount: Nanos(number(2)),
                reason: AdjustReason::Goodwill,
                key: words[3].to_owned(),
            },
            "lost" => Command::HolderLost { node: 0, core: None, boot_upto: 1, window_ms: 60_000 },
            "expire" => Command::Expire,
            verb => self.lease_command(verb, words),
        };
        text(apply(&mut self.ledger, self.now, &command))
    }

    fn lease_command(&mut self, verb: &str, words: &[&str]) -> Command {
        let number = |index: usize| words[index].parse::<i128>().expect("a number");
        let id = lease(number(1));
        let op = match verb {
            "open" => LeaseOp::Open {
                campaign: CAMPAIGN,
                day: DayNumber(number(2) as i32),
                purpose: match words.get(4) {
                    Some(&"explore") => Purpose::Explore,
                    _ => Purpose::Serve,
                },
                asked: Nanos(number(3)),
            },
            "topup" => LeaseOp::TopUp { asked: Nanos(number(2)) },
            "return" => LeaseOp::Return { amount: Nanos(number(2)) },
            "late" => LeaseOp::Late { amount: Nanos(number(2)) },
            "close" => LeaseOp::Close,
            "uncovered" => LeaseOp::Uncovered {
                hold: HoldId { lease: id, sequence: number(2) as u32 },
                amount: Nanos(number(3)),
            },
            other => panic!("no such line: {other}"),
        };
        let step = &mut self.steps[id.number as usize];
        let command = Command::Lease { lease: id, step: *step, op };
        *step += 1;
        command
    }
}

fn text(outcome: Outcome) -> String {
    match outcome {
        Outcome::CampaignSet { is_over } => if is_over { "set over" } else { "set" }.to_owned(),
        Outcome::Stepped(Answer::Granted { amount, is_short }) => {
            format!("granted {}{}", amount.0, if is_short { " short" } else { "" })
        }
        Outcome::Stepped(Answer::Returned { amount, is_over }) => {
            format!("returned {}{}", amount.0, if is_over { " over" } else { "" })
        }
        Outcome::Stepped(Answer::Covered(amount)) => format!("covered {}", amount.0),
        Outcome::Stepped(answer) => format!("{answer:?}").to_lowercase(),
        Outcome::Settled { from_lease, from_free, absorbed } => {
            format!("lease {} free {} absorbed {}", from_lease.0, from_free.0, absorbed.0)
        }
        Outcome::Forgotten { absorbed } => format!("forgotten absorbed {}", absorbed.0),
        Outcome::Duplicate => "duplicate".to_owned(),
        Outcome::Contradiction => "contradiction".to_owned(),
        Outcome::Adjusted { billed, absorbed } => {
            format!("adjusted {} absorbed {}", billed.0, absorbed.0)
        }
        Outcome::Lost(leases) => format!("lost {leases}"),
        Outcome::Expired(freed) => format!("freed {}", freed.0),
        Outcome::Refused(refusal) => format!("{refusal:?}"),
    }
}

#[test]
fn a_lease_lives_and_every_account_above_it_knows() {
    let ledger = check(
        "budget 1000 lifetime 1500 advertiser 1300 -> set
         open 0 1 400 -> granted 400
         open 1 1 700 -> granted 600 short
         balance 1 billed 0 late 0 leased 1000
         settle 0 0 1 300 250 -> lease 250 free 0 absorbed 0
         settle 0 0 1 300 250 -> duplicate
         settle 0 0 1 300 260 -> contradiction
         return 0 100 -> returned 100
         balance 1 billed 250 late 0 leased 650
         topup 1 500 -> granted 100 short
         late 1 80 -> noted
         balance 1 billed 250 late 80 leased 670
         settle 1 9 1 700 690 -> lease 690 free 0 absorbed 0
         balance 1 billed 940 late 10 leased 50
         close 0 -> closed
         balance 1 billed 940 late 10 leased 0
         open 2 2 1000 -> granted 350 short
         balance 2 billed 0 late 0 leased 350",
    );
    assert_eq!((ledger.house().duplicates, ledger.house().contradictions), (2, 1));
    assert_eq!(ledger.unbilled(CAMPAIGN, DayNumber(2)), Some(Nanos(360)));
}

#[test]
fn what_the_account_cannot_pay_the_house_does() {
    let ledger = check(
        "budget 1000 -> set
         open 0 1 900 -> granted 900
         settle 0 0 1 300 350 -> lease 300 free 50 absorbed 0
         settle 0 1 1 300 400 -> lease 300 free 50 absorbed 50
         at 61
         settle 0 2 1 300 300 -> lease 0 free 0 absorbed 300
         return 0 300 -> returned 300
         settle 0 3 1 300 100 -> lease 0 free 100 absorbed 0
         settle 3 0 1 300 100 -> forgotten absorbed 100
         balance 1 billed 800 late 0 leased 0
         settle 0 4 2 300 100 -> Mismatch
         settle 0 4000000 1 300 100 -> OutOfRange",
    );
    assert_eq!(ledger.house().absorbed, Nanos(450));
    assert_eq!((ledger.house().absorbed_notices, ledger.house().forgotten_leases), (3, 1));
}

#[test]
fn a_bill_on_money_that_was_used_again_goes_to_free_money_then_to_the_house() {
    check(
        "budget 500 -> set
         open 0 1 300 -> granted 300
         settle 0 0 1 300 300 -> lease 300 free 0 absorbed 0
         uncovered 0 0 250 -> covered 200
         balance 1 billed 250 late 0 leased 250
         uncovered 0 7 10 -> Mismatch",
    );
}

#[test]
fn a_lost_holder_freezes_its_leases_until_the_window_ends() {
    check(
        "budget 1000 -> set
         open 0 1 400 -> granted 400
         open 1 1 100 -> granted 100
         at 5
         lost -> lost 2
         balance 1 billed 0 late 500 leased 0
         topup 0 10 -> NotOpen
         settle 0 3 1 200 150 -> lease 150 free 0 absorbed 0
         balance 1 billed 150 late 300 leased 0
         at 64
         expire -> freed 0
         at 65
         expire -> freed 300
         balance 1 billed 150 late 0 leased 0
         settle 0 3 1 200 150 -> duplicate
         at 172864
         expire -> freed 0
         settle 0 3 1 200 150 -> duplicate
         at 172865
         expire -> freed 0
         settle 0 4 1 200 150 -> forgotten absorbed 150",
    );
}

#[test]
fn a_cut_is_enforced_as_far_as_leases_come_back() {
    check(
        "budget 1000 -> set
         open 0 1 800 -> granted 800
         settle 0 0 1 100 100 -> lease 100 free 0 absorbed 0
         budget 300 -> set over
         topup 0 1 -> granted 0 short
         return 0 200 -> returned 200 over
         open 1 1 50 -> granted 0 short
         settle 0 1 1 400 400 -> lease 400 free 0 absorbed 0
         balance 1 billed 500 late 0 leased 100
         settle 0 2 1 100 150 -> lease 100 free 0 absorbed 50
         budget 650 -> set
         topup 1 100 -> granted 50 short",
    );
}

#[test]
fn steps_are_counted_and_amounts_are_bounded() {
    let mut ledger = check("budget 1000 -> set\n open 0 1 100 -> granted 100");
    let mut run = |step, op| {
        text(apply(&mut ledger, Timestamp(0), &Command::Lease { lease: lease(0), step, op }))
    };
    let topup = |asked| LeaseOp::TopUp { asked: Nanos(asked) };
    assert_eq!(run(2, topup(1)), "Gap");
    assert_eq!(run(1, topup(1)), "granted 1");
    assert_eq!(run(1, topup(1)), "duplicate");
    assert_eq!(run(2, topup(-1)), "OutOfRange");
    assert_eq!(run(2, topup(i128::MAX)), "OutOfRange");
    assert_eq!(run(2, LeaseOp::Return { amount: Nanos(500) }), "returned 101");
    let known = |campaign| LeaseOp::Open {
        campaign,
        day: DayNumber(1),
        purpose: Purpose::Serve,
        asked: Nanos(1),
    };
    let command = Command::Lease { lease: lease(1), step: 0, op: known(CampaignId(99)) };
    assert_eq!(text(apply(&mut ledger, Timestamp(0), &command)), "UnknownCampaign");
}

#[test]
fn one_history_has_one_digest_and_another_has_another() {
    use crate::store::{Position, Record};
    let record = |position, body: &Command| Record {
        position: Position(position),
        at: Timestamp(position as i64),
        idem: 0,
        body: body.encode(),
    };
    let (campaign, day, purpose) = (CAMPAIGN, DayNumber(1), Purpose::Serve);
    let op = LeaseOp::Open { campaign, day, purpose, asked: Nanos(5) };
    let opening = Command::Lease { lease: lease(0), step: 0, op };
    let (mut one, mut two) = (Ledger::default(), Ledger::default());
    for ledger in [&mut one, &mut two] {
        ledger.fold(&record(1, &Command::Expire)).expect("folds");
        ledger.fold(&record(2, &opening)).expect("folds");
    }
    assert_eq!(one, two);
    one.fold(&record(3, &Command::Expire)).expect("folds");
    two.fold(&record(3, &opening)).expect("folds");
    assert_ne!(one.digest(), two.digest());
    assert!(matches!(one.fold(&record(5, &Command::Expire)), Err(FoldError::Gap { .. })));
    assert!(one.house().is_poisoned, "a gap in the history ends all grants");
}

/// A book of so many campaigns, each with an open lease of `amount`.
fn opened(campaigns: u64, amount: Nanos, now: Timestamp) -> LeaseBook {
    let mut book = LeaseBook::new(0, 0, 1);
    let terms = (0..campaigns).map(|campaign| LeaseTerms {
        campaign: CampaignId(campaign),
        day: DayNumber(0),
        day_ends: Timestamp(i64::MAX),
        max_price: Micros(1_000),
        headroom: Nanos(1 << 40),
        exploration_ppm: 0,
        is_active: true,
        shares_bound: false,
    });
    book.handle(&LeaseEvent::Terms(terms.collect()), now);
    let mut requests = Vec::new();
    book.due(now, &mut requests);
    for LeaseRequest { lease, step, .. } in requests {
        let answer = Answer::Granted { amount, is_short: false };
        book.handle(&LeaseEvent::Answered { lease, step, answer }, now);
    }
    book
}

/// How often a lease asks an account that has nothing, in two minutes of ten bids a second.
fn asks_of_nothing(shares_bound: bool) -> usize {
    let mut book = LeaseBook::new(0, 0, 1);
    let campaign = CampaignId(0);
    let terms = LeaseTerms {
        campaign,
        day: DayNumber(0),
        day_ends: Timestamp(i64::MAX),
        max_price: Micros(1_000),
        headroom: Nanos(1_000),
        exploration_ppm: 0,
        is_active: true,
        shares_bound,
    };
    book.handle(&LeaseEvent::Terms([terms].into()), Timestamp(0));
    let (mut requests, mut asks) = (Vec::new(), 0);
    let mut after = |book: &mut LeaseBook, now: Timestamp| {
        let refused = book.hold(campaign, Purpose::Serve, Micros(1_000), WINDOWS, now);
        assert!(refused.is_err());
        book.due(now, &mut requests);
        let before = asks;
        for LeaseRequest { lease, step, op, .. } in requests.drain(..) {
            asks += usize::from(matches!(op, LeaseOp::TopUp { .. }));
            let answer = Answer::Granted { amount: Nanos::ZERO, is_short: true };
            book.handle(&LeaseEvent::Answered { lease, step, answer }, now);
        }
        asks - before
    };
    let in_time: usize = (0..1_200).map(|tenth| after(&mut book, Timestamp(tenth * 100))).sum();
    // Word of money is no question of time.
    let now = Timestamp(119_950);
    assert_eq!(after(&mut book, now), 0);
    book.handle(&LeaseEvent::Available { campaign, is_new: false }, now);
    assert_eq!(after(&mut book, now), 1, "it is asked for at once");
    in_time
}

#[test]
fn an_account_that_has_nothing_is_asked_ever_more_seldom() {
    // A second after the opening, and then 2, 4, 8, 16, 32 and 32 later.
    assert_eq!(asks_of_nothing(false), 7);
    assert_eq!(asks_of_nothing(true), 119, "where others may return money in silence");
}

#[test]
fn a_sweep_in_parts_asks_what_a_whole_one_asks() {
    let now = Timestamp(1_000_000);
    // More than twice what they keep at hand: a sweep gives it back, and nothing else does.
    let [mut whole, mut parts] = [(); 2].map(|()| opened(10, Nanos(1 << 42), now));
    let (mut asked, mut asked_in_parts) = (Vec::new(), Vec::new());
    for book in [&mut whole, &mut parts] {
        for campaign in (0..10).map(CampaignId) {
            let held = book
                .hold(campaign, Purpose::Serve, Micros(1_000), WINDOWS, now)
                .expect("money enough");
            assert!(book.release(&held));
        }
        book.urgent(now, &mut asked);
    }
    assert!(asked.is_empty());
    let later = now.plus_millis(1_000);
    whole.due(later, &mut asked);
    assert!(asked.iter().all(|request| matches!(request.op, LeaseOp::Return { .. })));
    let mut counts = Vec::new();
    while parts.sweep(later, 3, &mut asked_in_parts) {
        counts.push(asked_in_parts.len());
    }
    assert_eq!((counts, asked.len()), (vec![3, 6, 9], 10));
    assert_eq!(asked_in_parts, asked);
    let soon = later.plus_millis(999);
    assert!(
        !parts.sweep(soon, 3, &mut Vec::new())
            && parts.sweep(soon.plus_millis(1), 3, &mut Vec::new())
    );
}

#[test]
fn a_lease_that_waits_for_an_answer_asks_nothing_else() {
    let now = Timestamp(1_000_000);
    let mut book = opened(1, Nanos(1 << 42), now);
    let later = now.plus_millis(1_000);
    let mut asked = Vec::new();
    book.due(later, &mut asked);
    assert!(matches!(asked[..], [LeaseRequest { op: LeaseOp::Return { .. }, .. }]));
    // What it kept is held now, and would be topped up.
    let price = Micros(1_000);
    assert!(book.hold(CampaignId(0), Purpose::Serve, price, WINDOWS, later).is_ok());
    book.due(later.plus_millis(1_000), &mut asked);
    assert_eq!(asked.len(), 1);
}

/// How long a hold takes, run with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_hold_takes_nanoseconds() {
    let now = Timestamp(1_000_000);
    let mut book = opened(1_000, Nanos(1 << 60), now);
    let started = crate::clock::Mono::now();
    let rounds = 2_000_000u32;
    for round in 0..rounds {
        let campaign = CampaignId(u64::from(round) * 7 % 1_000);
        let held = book.hold(
            campaign,
            Purpose::Serve,
            Micros(1_000),
            WINDOWS,
            now.plus_millis(i64::from(round / 1_000)),
        );
        assert!(book.release(&held.expect("money enough")));
    }
    let nanos = crate::clock::Mono::now().nanos_since(started) / u64::from(rounds);
    println!("a hold and its release: {nanos} ns");
}
