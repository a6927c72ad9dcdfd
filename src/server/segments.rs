//! `GET /api/v1/segments`: how many users a day showed interest in a category, as released when the day
//! ended. Categories have names where the catalog does; others are not listed.

use crate::catalog::Catalog;
use crate::privacy::{JoinSegment, Segment, SegmentSizes};
use crate::server::admin::gate;
use crate::server::engine::Engine;
use crate::session::Event;
use crate::units::CategoryId;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `GET /api/v1/segments`.
pub async fn segments(engine: Data<Arc<Engine>>, head: HttpRequest) -> HttpResponse {
    if let Err(refused) = gate(&engine, &head) {
        return refused;
    }
    engine.simulate(head.headers()).await;
    let releases = engine.published.releases.load_full();
    HttpResponse::Ok().json(match releases.segments() {
        Some(sizes) => listed(sizes, &engine.published.catalog.load()),
        None => json!({ "day": null, "least": null, "segments": [] }),
    })
}

fn listed(released: &SegmentSizes, catalog: &Catalog) -> Value {
    let names = names(catalog);
    let margin = released.margin_95();
    let sizes = released.sizes.iter().filter_map(|size| {
        let advertiser = match size.segment.advertiser {
            Some(id) => Some(&catalog.advertiser(id)?.name),
            None => None,
        };
        Some(json!({
            "category": names.get(&size.segment.category)?,
            "advertiser": advertiser,
            "users": size.users,
            "interval_95": [size.users.saturating_sub(margin), size.users.saturating_add(margin)],
        }))
    });
    let sizes: Vec<_> = sizes.collect();
    json!({ "day": released.day, "least": released.least, "segments": sizes })
}

/// What the catalog calls its categories.
fn names(catalog: &Catalog) -> BTreeMap<CategoryId, &str> {
    let own = catalog.all_campaigns().map(|one| (one.category, one.category_name.as_str()));
    let items = catalog.items().iter().map(|item| (item.category, item.category_name.as_str()));
    items.chain(own).collect()
}

impl Engine {
    /// Counts who consented in the segments of what they looked at: the pool's, where the interest may
    /// serve others, else the advertiser's own.
    pub fn join_segments(&self, events: &[Event]) {
        let joins = events.iter().filter(|event| event.consent).map(|event| JoinSegment {
            user: event.user,
            at: event.at,
            segment: Segment {
                advertiser: (!event.pooled).then_some(event.advertiser),
                category: event.category,
            },
        });
        self.privacy.join(joins);
    }
}
