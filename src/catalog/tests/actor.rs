//! The actor: publishes, tells subscribers before it replies, keeps the old catalog on errors.

use super::{CAMPAIGN, Folder, strategies};
use crate::catalog::{
    CampaignEdit, CatalogActor, CatalogChanged, CatalogKeeper, Change, EditCampaign, ReadStatus,
    Reload, Status, Subscribe, Tick,
};
use crate::units::Timestamp;
use actix::prelude::*;
use parking_lot::Mutex;
use std::sync::Arc;

/// Notes the epochs that it is told of.
struct Listener(Arc<Mutex<Vec<u64>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<CatalogChanged> for Listener {
    type Result = ();

    fn handle(&mut self, message: CatalogChanged, _: &mut Self::Context) {
        self.0.lock().push(message.0.epoch);
    }
}

#[test]
fn changes_are_published_and_told_before_the_reply() {
    let folder = Folder::new(&[CAMPAIGN]);
    let keeper = CatalogKeeper::open(folder.path().to_owned(), strategies()).expect("good");
    let keeper = Arc::new(keeper);
    let epochs = Arc::new(Mutex::new(Vec::new()));
    System::new().block_on(async {
        let listener = Listener(Arc::clone(&epochs)).start();
        let actor = CatalogActor::new(Arc::clone(&keeper)).start();
        assert!(actor.send(Subscribe(listener.recipient())).await.expect("alive"));
        let edit = CampaignEdit { status: Some(Status::Paused), ..CampaignEdit::default() };
        let edit = EditCampaign { name: "run".to_owned(), change: Change::Edit(Box::new(edit)) };
        let edited = actor.send(edit).await.expect("alive").expect("fits");
        assert_eq!((edited.epoch, epochs.lock().as_slice()), (2, &[2][..]));
        folder.write("campaigns/0.toml", "advertiser = 1");
        let errors = actor.send(Reload::default()).await.expect("alive").expect_err("wrong");
        assert_eq!((errors.len(), errors[0].line), (1, 1));
        let status = actor.send(ReadStatus).await.expect("alive");
        assert_eq!((status.epoch, status.refused, status.campaigns_active), (2, 1, 0));
        assert_eq!(status.last_errors, errors);
        folder.write("campaigns/0.toml", CAMPAIGN);
        actor.do_send(Reload::default());
        actor.send(Tick { now: Timestamp(1) }).await.expect("alive");
        assert_eq!(epochs.lock().as_slice(), [2, 3]);
        assert_eq!(keeper.published().load().epoch, 3);
    });
}

#[test]
fn what_comes_with_a_reload_is_published_before_anybody_is_told_and_in_the_order_of_changes() {
    let folder = Folder::new(&[CAMPAIGN]);
    let keeper = CatalogKeeper::open(folder.path().to_owned(), strategies()).expect("good");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let reload = |mark: u64| {
        let heard = Arc::clone(&heard);
        let then: Box<dyn FnOnce() + Send> = Box::new(move || heard.lock().push(mark));
        Reload { strategies: None, then: Some(then) }
    };
    System::new().block_on(async {
        let listener = Listener(Arc::clone(&heard)).start();
        let actor = CatalogActor::new(Arc::new(keeper)).start();
        assert!(actor.send(Subscribe(listener.recipient())).await.expect("alive"));
        actor.do_send(reload(100));
        let edit = CampaignEdit { status: Some(Status::Paused), ..CampaignEdit::default() };
        actor
            .do_send(EditCampaign { name: "run".to_owned(), change: Change::Edit(Box::new(edit)) });
        actor.send(reload(101)).await.expect("alive").expect("fits");
        folder.write("campaigns/0.toml", "advertiser = 1");
        actor.send(reload(102)).await.expect("alive").expect_err("wrong");
        assert_eq!(heard.lock().as_slice(), [100, 2, 3, 101, 4], "a wrong one publishes nothing");
    });
}
