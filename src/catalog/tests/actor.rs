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
