//! What the sequence model leaves in a session, and when it is gone.

use super::*;
use crate::relevance::sequence::{CategoryRows, SequenceModel, TrainConfig, Trainer, Vocabulary};

const USER: UserKey = UserKey(7);

fn model() -> Arc<SequenceModel> {
    let vocabulary = Arc::new(Vocabulary::new((1..=3).map(CategoryId).collect()));
    let config = TrainConfig { hidden: 64, ..TrainConfig::default() };
    let trainer = Trainer::new(vocabulary, &[1; 4], config).expect("valid sizes");
    Arc::new(trainer.into_model())
}

/// A shard that steps a model of random weights, and what times it.
pub(super) fn stepping_shard(
    config: SessionConfig,
) -> (Arc<SessionTable>, ShardState, Arc<Sequencer>) {
    let (table, state) = shard(config);
    let sequencer = Arc::new(Sequencer::new(model()));
    (table, state.with_sequencer(Some(sequencer.clone())), sequencer)
}

fn affinity(table: &SessionTable, sequencer: &Sequencer, now: Timestamp) -> Option<f32> {
    let mut profile = Profile::new();
    assert_eq!(table.read(USER, now, &mut profile), ReadOutcome::Known);
    let mut rows = CategoryRows::default();
    let number = rows.number(sequencer.model(), CategoryId(2)).expect("known");
    rows.affinity(profile.sequence(), number)
}

#[test]
fn a_state_steps_by_pooled_events_of_consenting_users_alone() {
    let (table, mut state, sequencer) = stepping_shard(SessionConfig::default());
    let pooled = |id, second| Event { pooled: true, ..view(id, USER, 2, at(second)) };
    state.apply_events(&[view(1, USER, 2, at(0))], at(0));
    assert_eq!(affinity(&table, &sequencer, at(0)), None, "another tenant must not learn of it");
    state.apply_events(&[Event { consent: false, ..pooled(2, 1) }], at(1));
    assert_eq!(affinity(&table, &sequencer, at(1)), None, "no consent");
    state.apply_events(&[pooled(3, 2)], at(2));
    let first = affinity(&table, &sequencer, at(2)).expect("one step");
    state.apply_events(&[pooled(3, 2)], at(2));
    assert_eq!(affinity(&table, &sequencer, at(2)), Some(first), "a repetition");
    state.apply_events(&[pooled(4, 3)], at(3));
    assert_ne!(affinity(&table, &sequencer, at(3)), Some(first), "another step");
}

#[test]
fn others_learn_of_new_pooled_visits_of_consenting_users_alone() {
    let (_, mut state) = shard(SessionConfig::default());
    let told = Event { pooled: true, ..view(1, USER, 2, at(0)) };
    let events = [
        told.clone(),
        told.clone(),
        view(2, USER, 2, at(1)),
        Event { consent: false, pooled: true, ..view(3, USER, 2, at(2)) },
        Event { pooled: true, item: None, ..view(4, USER, 2, at(3)) },
    ];
    let visits = state.apply_events(&events, at(4));
    assert_eq!(visits.0, [crate::relevance::Visit { user: USER, item: 1, at: at(0) }]);
    assert_eq!(state.apply_events(&[told], at(5)), (Vec::new(), 1), "a repetition");
}

#[test]
fn a_state_goes_when_interest_expires() {
    let config = SessionConfig { idle_s: 100, ..SessionConfig::default() };
    let (table, mut state, sequencer) = stepping_shard(config);
    state.apply_events(&[Event { pooled: true, ..view(1, USER, 2, at(0)) }], at(0));
    // A show that a cap may need keeps the session itself.
    state.confirm(&confirm_of(USER, 1, at(0)), at(0));
    assert!(affinity(&table, &sequencer, at(99)).is_some());
    let mut profile = Profile::new();
    for (second, items) in [(99, &[1][..]), (100, &[])] {
        table.read(USER, at(second), &mut profile);
        assert_eq!(profile.recent_items(), items, "after {second} s");
    }
    assert_eq!(affinity(&table, &sequencer, at(100)), None, "read as gone");
    state.apply_events(&[view(2, USER, 2, at(101))], at(101));
    assert_eq!(affinity(&table, &sequencer, at(101)), None, "and gone");
}

#[test]
fn a_profile_is_not_left_with_another_users_state() {
    let (table, mut state, _) = stepping_shard(SessionConfig::default());
    state.apply_events(&[Event { pooled: true, ..view(1, USER, 2, at(0)) }], at(0));
    let stranger = UserKey(8);
    state.apply_events(&[view(2, stranger, 2, at(0))], at(0));
    let mut profile = Profile::new();
    for next in [Some(stranger), Some(UserKey(9)), None] {
        table.read(USER, at(0), &mut profile);
        assert!(profile.sequence().is_known());
        match next {
            Some(user) => assert_ne!(table.read(user, at(0), &mut profile), ReadOutcome::Contended),
            None => profile.clear(),
        }
        assert!(!profile.sequence().is_known(), "{next:?}");
    }
}
