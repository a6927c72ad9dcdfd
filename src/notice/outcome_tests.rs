use super::*;
use crate::budget::{Refusal, Windows};
use crate::units::LeaseId;

const ISSUED: Timestamp = Timestamp(1_700_000_000_000);

/// Two minutes to decide, an hour to bill.
fn due() -> Due {
    Due::of(ISSUED, Windows { decision_ttl_ms: 120_000, billing_window_ms: 3_600_000 })
}

fn said(purposes: &[Purpose], is_charged: bool) -> Said {
    let bits = purposes.iter().fold(0, |bits, purpose| bits | 1 << *purpose as u8);
    Said(bits | if is_charged { Said::CHARGED } else { 0 })
}

const AT_ONCE: i64 = 1_000;
const LATE: i64 = 600_000;
const TOO_LATE: i64 = 2 * 3_600_000;

#[test]
fn a_charge_is_what_the_ledger_made_of_it() {
    let settled = |from_free, absorbed| Ledger::Settled {
        from_lease: Nanos(5),
        from_free: Nanos(from_free),
        absorbed: Nanos(absorbed),
    };
    let lost = &[Purpose::Loss][..];
    for (ledger, after_ms, before, expected) in [
        (settled(0, 0), AT_ONCE, &[][..], Outcome::Charged),
        (settled(0, 0), AT_ONCE, &[Purpose::Win], Outcome::Charged),
        (settled(0, 0), LATE, &[], Outcome::ChargedLate),
        (settled(5, 0), TOO_LATE, &[], Outcome::ChargedAfterWindow),
        (settled(0, 0), AT_ONCE, lost, Outcome::ChargedAfterLoss),
        (settled(0, 0), LATE, lost, Outcome::ChargedAfterLoss),
        (settled(0, 0), TOO_LATE, lost, Outcome::ChargedAfterWindow),
        (settled(0, 1), AT_ONCE, &[], Outcome::Absorbed),
        (settled(0, 1), TOO_LATE, lost, Outcome::Absorbed),
        (Ledger::Forgotten { absorbed: Nanos(5) }, AT_ONCE, &[], Outcome::UnknownHold),
        (Ledger::Duplicate, AT_ONCE, &[Purpose::Billing], Outcome::Duplicate),
        (Ledger::Contradiction, AT_ONCE, &[Purpose::Billing], Outcome::Contradiction),
        (Ledger::Refused(Refusal::Mismatch), AT_ONCE, &[], Outcome::LedgerRefused),
    ] {
        let settlement = Settlement { at: ISSUED.plus_millis(after_ms), outcome: ledger };
        let outcome = Outcome::of_charge(Some(settlement), due(), said(before, false));
        assert_eq!(outcome, expected, "{ledger:?} after {after_ms} ms and {before:?}");
    }
    assert_eq!(Outcome::of_charge(None, due(), said(&[], false)), Outcome::Duplicate);
}

#[test]
fn news_are_told_apart_by_order_and_time() {
    use Purpose::{Billing, Click, Loss, View, Win};
    for (purpose, before, is_charged, after_ms, expected) in [
        (Win, &[][..], false, AT_ONCE, Outcome::Evidence),
        (Win, &[Win], false, AT_ONCE, Outcome::Duplicate),
        (Win, &[Billing], true, AT_ONCE, Outcome::EvidenceAfterCharge),
        (Win, &[Loss], false, AT_ONCE, Outcome::EvidenceAfterLoss),
        (Win, &[Loss, Billing], true, AT_ONCE, Outcome::EvidenceAfterLoss),
        (View, &[], false, AT_ONCE, Outcome::Evidence),
        (View, &[Billing], true, AT_ONCE, Outcome::EvidenceAfterCharge),
        (Billing, &[Win], true, AT_ONCE, Outcome::EvidenceAfterCharge),
        (Loss, &[], false, AT_ONCE, Outcome::Released),
        (Loss, &[Win], false, AT_ONCE, Outcome::Released),
        (Loss, &[], false, LATE, Outcome::ReleasedLate),
        (Loss, &[], false, TOO_LATE, Outcome::ReleasedAfterWindow),
        (Loss, &[Billing], true, TOO_LATE, Outcome::LossAfterCharge),
        (Loss, &[Loss, Billing], true, AT_ONCE, Outcome::Duplicate),
        (Click, &[Billing], true, AT_ONCE, Outcome::Clicked),
        (Click, &[Win], false, AT_ONCE, Outcome::ClickedBeforeCharge),
        (Click, &[Loss], false, AT_ONCE, Outcome::ClickedAfterLoss),
        (Click, &[Click], true, AT_ONCE, Outcome::Duplicate),
    ] {
        let before = said(before, is_charged);
        let outcome = Outcome::of_news(purpose, due(), before, ISSUED.plus_millis(after_ms));
        assert_eq!(outcome, expected, "{purpose:?} after {before:?}, {after_ms} ms");
    }
}

#[test]
fn the_memory_of_holds_is_bounded_and_tells_what_came_before() {
    let hold = |number| HoldId { lease: LeaseId { number, ..LeaseId::default() }, sequence: 0 };
    let mut history = History::default();
    assert_eq!(history.note(hold(0), Purpose::Win), Said::default());
    history.note_charge(hold(0));
    let before = history.note(hold(0), Purpose::Loss);
    assert!(before.has(Purpose::Win) && before.is_charged() && !before.has(Purpose::Loss));
    let after = |history: &mut History, numbers: std::ops::Range<u32>| {
        for number in numbers {
            assert_eq!(history.note(hold(number), Purpose::Win), Said::default());
        }
    };
    after(&mut history, 1..1 << 17);
    let kept =
        (1..1_000).filter(|number| history.note(hold(*number), Purpose::Win) != Said::default());
    assert!((990..=999).contains(&kept.count()), "all but one in a thousand");
    after(&mut history, 1 << 17..1 << 20);
    assert_eq!(history.note(hold(0), Purpose::Win), Said::default(), "the oldest gave way");
}
