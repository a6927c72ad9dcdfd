//! What the journal has of a change is the change.

use super::*;
use proptest::prelude::*;

fn any_event() -> impl Strategy<Value = Event> {
    let words = any::<[u64; 4]>();
    let item = any::<Option<u32>>();
    (words, any::<u32>(), 0..Behaviour::ALL.len(), item, any::<bool>()).prop_map(
        |([id, user, at, advertiser], category, kind, item, pooled)| Event {
            id,
            user: UserKey(user),
            kind: Behaviour::ALL[kind],
            at: Timestamp(at.cast_signed()),
            advertiser: AdvertiserId(advertiser),
            category: CategoryId(category),
            item,
            consent: true,
            pooled,
            conversion: None,
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    let ids = proptest::collection::vec(any::<u64>(), 1..=IDS_MAX);
    let join = (any::<u64>(), ids).prop_map(|(source, ids)| {
        Change::Join(Join { source, ids: ids.into_iter().map(UserKey).collect() })
    });
    let show = (any::<[u64; 4]>(), any::<[u16; 2]>(), any::<[u32; 3]>()).prop_map(
        |([user, campaign, creative, at], [node, core], [boot, number, sequence])| {
            Change::Show(ConfirmShow {
                user: UserKey(user),
                campaign: CampaignId(campaign),
                creative: CreativeId(creative),
                at: Timestamp(at.cast_signed()),
                hold: HoldId { lease: LeaseId { node, core, boot, number }, sequence },
            })
        },
    );
    prop_oneof![any_event().prop_map(Change::Event), join, show]
}

fn pieces_of(changes: &[Change]) -> Vec<Vec<u8>> {
    let mut written = Changes::default();
    for change in changes {
        match change {
            Change::Event(event) => written.add_event(event),
            Change::Join(join) => written.add_join(join),
            Change::Show(show) => written.add_show(show),
        }
    }
    written.into_pieces()
}

proptest! {
    #[test]
    fn changes_come_back_in_their_order(changes in proptest::collection::vec(any_change(), 0..40)) {
        let pieces = pieces_of(&changes);
        let read = pieces.iter().map(|piece| read_changes(piece).expect("ours"));
        prop_assert_eq!(read.flatten().collect::<Vec<_>>(), changes);
    }

    /// Bytes of nobody's make no panic.
    #[test]
    fn any_bytes_are_read_or_refused(piece in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_changes(&piece);
    }
}

#[test]
fn the_largest_body_becomes_records_that_the_log_takes() {
    let ids: Ids = (0..IDS_MAX as u64).map(UserKey).collect();
    let event = view(1, UserKey(1), 1, at(0));
    let join = Change::Join(Join { ids, source: 1 });
    let changes: Vec<_> = std::iter::repeat_n(Change::Event(event), 1_000)
        .chain(std::iter::repeat_n(join, 1_000))
        .collect();
    let pieces = pieces_of(&changes);
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
    let read = pieces.iter().map(|piece| read_changes(piece).expect("ours").len());
    assert_eq!(read.sum::<usize>(), changes.len());
}

/// The hash of a search's words that events had once is passed over.
#[test]
fn an_event_of_before_is_read_without_its_query() {
    let event = view(1, UserKey(1), 1, at(0));
    let [mut piece] =
        <[Vec<u8>; 1]>::try_from(pieces_of(&[Change::Event(event.clone())])).expect("one");
    // Kind of record, four words, the category and the kind of event stand before the flags.
    piece[1 + 4 * 8 + 4 + 1] |= 2;
    piece.extend(7u64.to_le_bytes());
    assert_eq!(read_changes(&piece).expect("ours"), [Change::Event(event)]);
}

/// Who did not consent leaves nothing, not even sealed.
#[test]
fn what_touches_no_session_is_not_written() {
    let event = Event { consent: false, ..view(1, UserKey(1), 1, at(0)) };
    assert!(pieces_of(&[Change::Event(event)]).is_empty());
}
