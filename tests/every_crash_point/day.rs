//! A day of money as a script: two campaigns on two cores, with every kind of command in it.

use outbid::budget::{Budget, Command, DayNumber, Due, LeaseOp, Notice, Purpose, Windows};
use outbid::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};

pub const STARTS: Timestamp = Timestamp(1_772_452_800_000);
/// Milliseconds between two commands.
pub const STEP_MS: i64 = 20_000;
const WINDOWS: Windows = Windows { decision_ttl_ms: 20_000, billing_window_ms: 60_000 };
const DAY: DayNumber = DayNumber(20_514);

struct Script {
    commands: Vec<Command>,
    steps: [u32; 64],
}

impl Script {
    fn now(&self) -> Timestamp {
        STARTS.plus_millis(self.commands.len() as i64 * STEP_MS)
    }

    fn budget(&mut self, campaign: u64, daily: i128) {
        let edition = self.commands.len() as u64 + 1;
        self.commands.push(Command::SetCampaign {
            campaign: CampaignId(campaign),
            advertiser: AdvertiserId(1),
            budget: Budget {
                advertiser_bound: Some(Nanos(60_000)),
                lifetime: Some(Nanos(40_000)),
                ..Budget::daily(Nanos(daily))
            },
            from: DAY,
            edition,
        });
    }

    fn lease(&mut self, number: u32, op: LeaseOp) {
        let step = &mut self.steps[number as usize];
        let lease = lease(number);
        self.commands.push(Command::Lease { lease, step: *step, op });
        *step += 1;
    }

    fn bill(&mut self, number: u32, sequence: u32, held: u64, price: u64) {
        let hold = HoldId { lease: lease(number), sequence };
        self.commands.push(Command::Settle {
            hold,
            campaign: campaign_of(number),
            day: DAY,
            held: Micros(held),
            price: Micros(price),
            due: Due::of(self.now(), WINDOWS),
            notice: Notice::Billing,
        });
    }
}

fn lease(number: u32) -> LeaseId {
    LeaseId { node: 0, core: (number % 2) as u16, boot: 1 + number / 8, number }
}

fn campaign_of(number: u32) -> CampaignId {
    CampaignId(1 + u64::from(number % 2))
}

/// At least so many commands.
pub fn script(commands: usize) -> Vec<Command> {
    let mut script = Script { commands: Vec::new(), steps: [0; 64] };
    script.budget(1, 20_000);
    script.budget(2, 9_000);
    for number in 0..60 {
        if script.commands.len() >= commands {
            break;
        }
        let asked = |amount| Nanos(i128::from(amount));
        let (campaign, day) = (campaign_of(number), DAY);
        script.lease(
            number,
            LeaseOp::Open { campaign, day, purpose: Purpose::Serve, asked: asked(1_500) },
        );
        script.bill(number, 0, 300, 250);
        script.bill(number, 0, 300, 250);
        script.bill(number, 0, 300, 299);
        script.lease(number, LeaseOp::TopUp { asked: asked(700) });
        script.bill(number, 1, 300, 300);
        script.lease(number, LeaseOp::Late { amount: asked(400) });
        script.bill(number, 2, 300, 460);
        let hold = HoldId { lease: lease(number), sequence: 1 };
        script.lease(number, LeaseOp::Uncovered { hold, amount: asked(120) });
        script.lease(number, LeaseOp::Return { amount: asked(200) });
        match number % 4 {
            0 => script.lease(number, LeaseOp::Close),
            1 => script.budget(1 + u64::from(number) % 2, 2_000 + 300 * i128::from(number)),
            2 => script.commands.push(Command::HolderLost {
                node: 0,
                core: None,
                boot_upto: 1 + number / 8,
                window_ms: 60_000,
            }),
            _ => script.commands.push(Command::Expire),
        }
        script.bill(number, 3, 200, 180);
    }
    script.commands
}
