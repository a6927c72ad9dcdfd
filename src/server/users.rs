//! Which user a bid request names, and what its ids say of each other.

use crate::auction::AuctionInput;
use crate::config::AliasFrom;
use crate::hash::UserHashers;
use crate::openrtb::{BidRequest, Eid};
use crate::server::engine::{Engine, ExchangeDesk};
use crate::session::{
    self, Announced, Carry, IDS_MAX, Ids, Join, JoinIds, Namespace, ReadOutcome, Relay, UserId,
};
use crate::units::{Timestamp, UserKey};
use smallvec::smallvec;

/// Whom a request is about, before it is known what may be known of him.
#[derive(Clone, Copy)]
pub struct Sought<'a> {
    /// The first of the request's ids, or whom somebody names in their stead.
    pub first: Option<(Namespace, UserKey)>,
    /// Whether it is the request's own, so that its other ids count after it.
    is_own: bool,
    /// Shows that count for him although no session may have them yet.
    announced: Option<&'a Announced>,
}

impl<'a> Sought<'a> {
    /// The user of a request, or `user` in his stead. Asks for what a read of his session begins with:
    /// it comes from memory while other things are seen to.
    pub fn of(
        engine: &Engine,
        desk: &ExchangeDesk,
        request: &BidRequest<'_>,
        user: Option<(Namespace, UserKey)>,
    ) -> Self {
        let first = user.or_else(|| ids_of(&engine.user_keys.load(), desk, request).next());
        first.iter().for_each(|(_, id)| engine.sessions.prefetch(*id));
        Self { first, is_own: user.is_none(), announced: None }
    }

    /// The same, for the thread that has `announced` these shows.
    pub const fn beside(self, announced: &'a Announced) -> Self {
        Self { announced: Some(announced), ..self }
    }
}

/// Finds the request's user and reads what is known of him. Only for requests that allow a session.
pub fn find_user(
    engine: &Engine,
    desk: &ExchangeDesk,
    request: &BidRequest<'_>,
    sought: Sought<'_>,
    input: &mut AuctionInput,
) {
    let sessions = (&*engine.sessions, engine.aliases.as_deref());
    let (now, profile) = (input.now, &mut input.profile);
    let hashers = &**engine.user_keys.load();
    let is_alone = engine.config.session.alias_from == AliasFrom::Off;
    let most = match (sought.is_own, is_alone) {
        (false, _) => 1,
        (true, true) => hashers.all().count(),
        (true, false) => usize::MAX,
    };
    let ids = sought.first.into_iter().chain(ids_of(hashers, desk, request).skip(1));
    input.found = session::find(sessions, sought.announced, ids.take(most), now, profile);
    let Some(found) = input.found else { return };
    input.user = Some(found.user);
    if found.outcome == ReadOutcome::Contended {
        engine.metrics.sessions_contended.inc();
    }
    if sought.is_own && hashers.before.is_some() && found.outcome == ReadOutcome::Known {
        input.to_join = engine.move_of(found.user, names_of(hashers, desk, request), now);
        if !input.to_join.is_empty() {
            return;
        }
    }
    // Ids of strangers are not joined: there is nothing yet that could follow.
    let is_joining = sought.is_own && found.outcome == ReadOutcome::Known && desk.joins_ids;
    if let Some(aliases) = engine.aliases.as_deref().filter(|_| is_joining) {
        let ids = names_of(hashers, desk, request).map(|(_, id, _)| id);
        input.to_join.extend(ids.take(IDS_MAX));
        if input.to_join.len() < 2 || aliases.are_one(&input.to_join, now) {
            input.to_join.clear();
        }
    }
}

/// The ids that name the request's user, in the order of how long ids live: device, exchange match,
/// the exchange's own, shared ids. Each under the newest key, and while keys are changed then under
/// the one before.
fn ids_of<'a>(
    hashers: &'a UserHashers,
    desk: &'a ExchangeDesk,
    request: &'a BidRequest<'_>,
) -> impl Iterator<Item = (Namespace, UserKey)> + 'a {
    let names = names_of(hashers, desk, request);
    names.flat_map(|(by, new, old)| std::iter::once(new).chain(old).map(move |id| (by, id)))
}

/// A namespace, an id's name under the newest key, and that under the key before, while it is tried.
type Names = (Namespace, UserKey, Option<UserKey>);

fn names_of<'a>(
    hashers: &'a UserHashers,
    desk: &'a ExchangeDesk,
    request: &'a BidRequest<'_>,
) -> impl Iterator<Item = Names> + 'a {
    let user = &request.user;
    let ids = [
        UserId::Ifa(&request.device.ifa),
        UserId::Buyeruid { exchange: &desk.name, id: &user.buyeruid },
        UserId::Id(&user.id),
    ];
    let own = ids.into_iter().filter_map(|id| names(hashers, &id));
    own.chain(shared_ids(hashers, &desk.config.eid_sources, &user.eids))
}

fn names(hashers: &UserHashers, id: &UserId<'_>) -> Option<Names> {
    let old = hashers.before.as_ref().and_then(|before| id.key(before));
    Some((id.namespace(), id.key(&hashers.newest)?, old))
}

/// The first usable id of each trusted source, in the order of trust; where none is named, the first
/// usable id as sent, since anybody may have put it there.
fn shared_ids<'a>(
    hashers: &'a UserHashers,
    trusted: &'a [String],
    eids: &'a [Eid<'_>],
) -> impl Iterator<Item = Names> + 'a {
    let named = |eid: &Eid<'_>| {
        let ids = eid.uids.iter().map(|uid| UserId::Eid { source: &eid.source, id: &uid.id });
        ids.into_iter().find_map(|id| names(hashers, &id))
    };
    let any = std::iter::once_with(move || eids.iter().find_map(named)).flatten();
    let any = trusted.is_empty().then_some(any);
    let of_source = move |source: &'a String| {
        let is_its = move |eid: &&Eid<'_>| eid.source.trim().eq_ignore_ascii_case(source);
        eids.iter().filter(is_its).find_map(named)
    };
    trusted.iter().filter_map(of_source).chain(any.into_iter().flatten())
}

impl Engine {
    /// While keys are changed: the two names of the id by which `user` was found, where they do not
    /// lead to one session yet.
    fn move_of(&self, user: UserKey, names: impl Iterator<Item = Names>, now: Timestamp) -> Ids {
        let Some(aliases) = &self.aliases else { return Ids::new() };
        let olds = names.filter_map(|(_, new, old)| Some((new, old?)));
        let mut found = olds.filter(|(_, old)| aliases.are_one(&[*old, user], now));
        let found = found.next().filter(|(new, old)| !aliases.are_one(&[*new, *old], now));
        found.map_or_else(Ids::new, |(new, old)| Ids::from_slice(&[new, old]))
    }

    /// Of names and those before, the ones of users who were known under the one before.
    pub fn moves(&self, renamed: &[[UserKey; 2]]) -> Vec<Join> {
        let now = self.civil.now();
        let Some(aliases) = &self.aliases else { return Vec::new() };
        let was_known = |[new, old]: &&[UserKey; 2]| {
            (self.sessions.knows(*old) || aliases.root(*old, now) != *old)
                && !aliases.are_one(&[*new, *old], now)
        };
        let known = renamed.iter().filter(was_known);
        known.map(|pair| Join { ids: Ids::from_slice(pair), source: 0 }).collect()
    }

    /// The name under which what is known of an id is found now.
    pub fn present_key(&self, id: &UserId<'_>) -> Option<UserKey> {
        let hashers = self.user_keys.load();
        let (_, new, old) = names(&hashers, id)?;
        let leads = |id: &UserKey| self.sessions.knows(*id) || self.root_of(*id) != *id;
        Some(old.filter(|old| !leads(&new) && leads(old)).unwrap_or(new))
    }

    /// Tells a shard of ids that a request names together, without waiting. What a full mailbox
    /// refuses is counted, and said again by the next request.
    pub fn join_later(&self, source: u64, ids: Ids) {
        let Some(&first) = ids.first() else { return };
        let shard = u16::try_from(self.shard_map.shard_of(first)).ok();
        let worker = shard.and_then(|number| self.worker(number));
        let joins: smallvec::SmallVec<[Join; 1]> = smallvec![Join { ids, source }];
        if worker.is_none_or(|worker| worker.shard.try_send(JoinIds(joins)).is_err()) {
            self.metrics.refused("joins");
        }
    }

    /// The user whom an id leads to now.
    pub fn root_of(&self, id: UserKey) -> UserKey {
        let now = self.civil.now();
        self.aliases.as_ref().map_or(id, |aliases| aliases.root(id, now))
    }

    /// Hands on what shards have for each other, in order. It goes round the mailboxes' bounds, since
    /// a show that got lost would not count against its cap, and two shards that waited for each
    /// other would wait for ever: there are no more relays than a few for each message that found room.
    pub fn relay(&self, relays: Vec<(usize, Relay)>) {
        for (shard, relay) in relays {
            match u16::try_from(shard).ok().and_then(|number| self.worker(number)) {
                Some(worker) if worker.shard.connected() => worker.shard.do_send(Carry(relay)),
                Some(_) => self.in_place().carry(vec![(shard, relay)], self.civil.now()),
                None => self.metrics.refused("relays"),
            }
        }
    }
}
