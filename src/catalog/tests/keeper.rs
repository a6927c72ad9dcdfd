//! Edits, reloads and restarts in any order, held against a plain map of merged edits.

use super::{Folder, strategies};
use crate::catalog::{CampaignView, CatalogKeeper, Change, EditError, Resumed, Status};
use crate::store::embedded::SqliteConfig;
use crate::store::{ConfigError, ConfigStore, Entry, MemoryConfig, Revision};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NAMES: [&str; 2] = ["run", "walk"];
/// Daily budgets of the campaigns in each version of the files; 0: it is not in them.
const FILES: [[u64; 2]; 4] = [[20, 20], [30, 20], [5, 40], [20, 0]];

fn file(name: &str, budget: u64) -> String {
    if budget == 0 {
        return "advertiser = \"shoes\"\n".to_owned();
    }
    format!(
        "advertiser = \"shoes\"\n[[campaign]]\nname = \"{name}\"\ncategory = \"shoes\"\n\
         strategy = \"cpc\"\ndaily_budget = \"{budget}\"\niab_cats = [\"IAB18\"]\n\
         landing_url = \"https://shoes.example/{name}\"\nbid = {{ max_cpm = 5, cpc = \"0.5\" }}\n\
         [[campaign.ad]]\nname = \"{name}-0\"\n\
         banner = {{ w = 300, h = 250, image_url = \"https://c.example/a.png\" }}\n"
    )
}

fn write(folder: &Folder, version: usize) {
    for (number, name) in NAMES.iter().enumerate() {
        folder.write(&format!("campaigns/{number}.toml"), &file(name, FILES[version][number]));
    }
}

fn ads(names: &[&str]) -> Value {
    let ad = |name: &&str| {
        json!({
            "name": name, "landing_url": "https://shoes.example/new", "iab_cats": ["IAB18"],
            "banner": { "w": 300, "h": 250, "image_url": "https://c.example/b.png" },
        })
    };
    names.iter().map(ad).collect()
}

fn change(edit: &Value) -> Change {
    Change::Edit(serde_json::from_value(edit.clone()).expect("an edit"))
}

/// A store that refuses when it is told to.
struct Flaky<S> {
    inner: S,
    fails: Arc<AtomicBool>,
}

impl<S: ConfigStore> Flaky<S> {
    fn tried(&self) -> Result<&S, ConfigError> {
        let fails = self.fails.load(Ordering::SeqCst);
        if fails { Err(ConfigError::Refused("full".to_owned())) } else { Ok(&self.inner) }
    }
}

impl<S: ConfigStore> ConfigStore for Flaky<S> {
    fn put(&self, key: &str, value: Bytes) -> Result<Revision, ConfigError> {
        self.tried()?.put(key, value)
    }

    fn remove(&self, key: &str) -> Result<(), ConfigError> {
        self.tried()?.remove(key)
    }

    fn all(&self, prefix: &str) -> Result<Vec<Entry>, ConfigError> {
        self.inner.all(prefix)
    }
}

/// What the test thinks: budgets in the files, merged edits, and who is stopped.
#[derive(Clone, Debug, Default)]
struct Model {
    files: BTreeMap<String, u64>,
    edits: BTreeMap<String, Value>,
    stopped: Vec<String>,
}

impl Model {
    fn load(&mut self, version: usize) {
        let files = NAMES.iter().zip(FILES[version]).filter(|(_, budget)| *budget > 0);
        self.files = files.map(|(name, budget)| ((*name).to_owned(), budget * 1_000_000)).collect();
        self.edits.retain(|name, _| self.files.contains_key(name));
        self.stopped.retain(|name| self.files.contains_key(name));
    }

    fn daily(&self, name: &str, edit: &Value) -> u64 {
        edit["daily_budget_micros"].as_u64().unwrap_or(self.files[name])
    }

    /// The rules that edits of this test can break.
    fn fits(&self, name: &str, edit: &Value) -> bool {
        let daily = self.daily(name, edit);
        let is_known = edit["strategy"].as_str().is_none_or(|name| name != "none");
        is_known
            && daily > 0
            && edit["lifetime_budget_micros"].as_u64().is_none_or(|all| all >= daily)
    }

    fn merged(&self, name: &str, edit: &Value) -> Value {
        let mut merged = self.edits.get(name).cloned().unwrap_or_else(|| json!({}));
        let fields = merged.as_object_mut().expect("a table");
        for (key, value) in edit.as_object().expect("a table") {
            match (key.as_str(), fields.get_mut(key)) {
                ("bid", Some(bid)) => {
                    value.as_object().expect("terms").iter().for_each(|(term, value)| {
                        bid[term] = value.clone();
                    })
                }
                _ => drop(fields.insert(key.clone(), value.clone())),
            }
        }
        merged
    }

    fn check(&self, view: &CampaignView) {
        let none = json!({});
        let edit = self.edits.get(&view.id);
        let is_stopped = self.stopped.contains(&view.id);
        let shown = edit.filter(|_| !is_stopped).unwrap_or(&none);
        let is_active = shown["status"].as_str().is_none_or(|status| status == "active");
        assert_eq!(view.status == Status::Active, is_active && !is_stopped, "{}", view.id);
        assert_eq!(view.daily_budget_micros, self.daily(&view.id, shown));
        assert_eq!(view.lifetime_budget_micros, shown["lifetime_budget_micros"].as_u64());
        let terms = |term: &str, default| shown["bid"][term].as_u64().or(Some(default));
        assert_eq!(view.bid.cpc_micros, terms("cpc_micros", 500_000));
        assert_eq!(view.bid.max_cpm_micros, terms("max_cpm_micros", 5_000_000));
        let names: Vec<_> = view.ads.iter().map(|ad| ad.name.clone()).collect();
        let expected = match shown["ads"].as_array() {
            Some(ads) => {
                ads.iter().map(|ad| ad["name"].as_str().unwrap_or_default().to_owned()).collect()
            }
            None => vec![format!("{}-0", view.id)],
        };
        assert_eq!(names, expected);
        let edits = edit.map(|edit| serde_json::from_value(edit.clone()).expect("an edit"));
        assert_eq!(view.edits.as_ref().and_then(|edits| edits.changes.clone()), edits);
        assert_eq!(view.edits.as_ref().is_some_and(|edits| edits.fault.is_some()), is_stopped);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Edit { name: usize, edit: Value, is_refused: bool },
    Reset(usize),
    Files(usize),
    Reload,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let edit = prop_oneof![
        prop::sample::select(vec![0_u64, 5, 9, 25, 40])
            .prop_map(|units| json!({ "daily_budget_micros": units * 1_000_000 })),
        prop::sample::select(vec![10_u64, 35, 90])
            .prop_map(|units| json!({ "lifetime_budget_micros": units * 1_000_000 })),
        prop::sample::select(vec!["paused", "active"])
            .prop_map(|status| json!({ "status": status })),
        prop::sample::select(vec!["cpc", "none"]).prop_map(|name| json!({ "strategy": name })),
        (1..9_u64).prop_map(|cpc| json!({ "bid": { "cpc_micros": cpc * 100_000 } })),
        (5..9_u64).prop_map(|cpm| json!({ "bid": { "max_cpm_micros": cpm * 1_000_000 } })),
        (1..3_usize, any::<bool>()).prop_map(|(number, is_paused)| {
            let mut edit = json!({ "ads": number });
            if is_paused {
                edit["status"] = json!("paused");
            }
            edit
        }),
    ];
    prop_oneof![
        8 => (0..2_usize, edit, prop::bool::weighted(0.1)).prop_map(|(name, mut edit, is_refused)| {
            if let Some(number) = edit["ads"].as_u64() {
                let names = [0, 1].map(|ad| format!("{}-{}", NAMES[name], number + ad));
                edit["ads"] = ads(&names.each_ref().map(String::as_str));
            }
            edit.as_object_mut().expect("a table").retain(|_, value| !value.is_null());
            Step::Edit { name, edit, is_refused }
        }),
        1 => (0..2_usize).prop_map(Step::Reset),
        2 => (0..FILES.len()).prop_map(Step::Files),
        2 => Just(Step::Reload),
        3 => Just(Step::Restart),
    ]
}

/// One process after the other on a folder of files and a file of settings.
struct Site {
    folder: Folder,
    state: tempfile::TempDir,
    fails: Arc<AtomicBool>,
    version: usize,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new(&["", ""]);
        write(&folder, 0);
        let state = tempfile::tempdir().expect("a folder");
        Self { folder, state, fails: Arc::default(), version: 0 }
    }

    fn start(&self) -> (CatalogKeeper, Resumed) {
        let keeper =
            CatalogKeeper::open(self.folder.path().to_owned(), strategies()).expect("good");
        let store = SqliteConfig::open(&self.state.path().join("config.db")).expect("opened");
        let store = Arc::new(Flaky { inner: store, fails: Arc::clone(&self.fails) });
        let resumed = keeper.resume(store).expect("read");
        (keeper, resumed)
    }
}

fn edit(site: &Site, keeper: &CatalogKeeper, model: &mut Model, step: (usize, Value, bool)) {
    let (name, edit, is_refused) = (NAMES[step.0], step.1, step.2);
    site.fails.store(is_refused, Ordering::SeqCst);
    let before = keeper.published().load_full();
    let outcome = keeper.change(name, &change(&edit));
    site.fails.store(false, Ordering::SeqCst);
    let merged = model.merged(name, &edit);
    let is_known = model.files.contains_key(name);
    match &outcome {
        Err(EditError::UnknownCampaign(_)) => assert!(!is_known),
        Err(EditError::Refused(_)) => assert!(!model.fits(name, &merged)),
        Err(EditError::NotKept(_)) => assert!(is_refused),
        Ok(_) => {
            assert!(is_known && !is_refused && model.fits(name, &merged));
            model.edits.insert(name.to_owned(), merged);
            model.stopped.retain(|stopped| stopped != name);
        }
    }
    if outcome.is_err() {
        assert!(Arc::ptr_eq(&before, &keeper.published().load_full()), "nothing changes");
    }
}

fn reload(site: &Site, keeper: &CatalogKeeper, model: &mut Model) {
    let mut next = model.clone();
    next.load(site.version);
    let unfit: Vec<String> = next
        .edits
        .iter()
        .filter(|(name, edit)| !next.fits(name, edit))
        .map(|(name, _)| name.clone())
        .collect();
    let fits = unfit.iter().all(|name| model.stopped.contains(name));
    assert_eq!(keeper.reload(None).is_ok(), fits);
    if fits {
        next.stopped = unfit;
        *model = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_gives_what_a_map_of_merged_edits_gives(
        steps in prop::collection::vec(step(), 1..25)
    ) {
        let mut site = Site::new();
        let (mut keeper, _) = site.start();
        let mut model = Model::default();
        model.load(0);
        for step in steps {
            match step {
                Step::Edit { name, edit: body, is_refused } => {
                    edit(&site, &keeper, &mut model, (name, body, is_refused));
                }
                Step::Reset(name) => {
                    let outcome = keeper.change(NAMES[name], &Change::Reset);
                    prop_assert_eq!(outcome.is_ok(), model.files.contains_key(NAMES[name]));
                    model.edits.remove(NAMES[name]);
                    model.stopped.retain(|stopped| stopped != NAMES[name]);
                }
                Step::Files(version) => {
                    write(&site.folder, version);
                    site.version = version;
                }
                Step::Reload => reload(&site, &keeper, &mut model),
                Step::Restart => {
                    drop(keeper);
                    let (next, resumed) = site.start();
                    keeper = next;
                    let before = model.edits.len();
                    model.load(site.version);
                    let unfit = model.edits.iter().filter(|(name, edit)| !model.fits(name, edit));
                    model.stopped = unfit.map(|(name, _)| name.clone()).collect();
                    prop_assert_eq!(resumed.stopped.len(), model.stopped.len());
                    prop_assert_eq!(resumed.dropped.len(), before - model.edits.len());
                }
            }
            let catalog = keeper.published().load_full();
            prop_assert_eq!(catalog.all_campaigns().count(), model.files.len());
            for name in model.files.keys() {
                model.check(&catalog.campaign_view(name).expect("there"));
            }
            prop_assert_eq!((keeper.edited(), catalog.stopped()), (model.edits.len(), model.stopped.len()));
        }
    }
}

#[test]
fn ads_may_take_names_that_an_edit_gave_up() {
    let site = Site::new();
    let (keeper, _) = site.start();
    keeper.change("walk", &change(&json!({ "ads": ads(&["walk-9"]) }))).expect("fits");
    // Its file comes first, so that its ads are read before the others' are given up.
    keeper.change("run", &change(&json!({ "ads": ads(&["walk-0"]) }))).expect("the name is free");
    let taken = keeper.change("walk", &Change::Reset).err();
    assert!(matches!(&taken, Some(EditError::Refused(why)) if why.contains("walk-0")), "{taken:?}");
    drop(keeper);
    let (keeper, resumed) = site.start();
    assert_eq!(resumed, Resumed::default());
    keeper.reload(None).expect("fits");
    // Where the one who gave it up is stopped, and has its file's ads again, so is the other.
    keeper.change("walk", &change(&json!({ "lifetime_budget_micros": 20_000_000 }))).expect("fits");
    drop(keeper);
    site.folder.write("campaigns/1.toml", &file("walk", 30));
    let (keeper, resumed) = site.start();
    let said: Vec<String> = resumed.stopped.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0]
            .starts_with("campaigns/0.toml:0: the API's edit of `run` does not fit: ads: `walk-0`")
    );
    assert!(
        said[1].contains("`walk` does not fit: lifetime_budget: is below the daily"),
        "{said:?}"
    );
    assert!(keeper.published().load().all_campaigns().all(|one| one.status == Status::Paused));
}

#[test]
fn an_edit_that_cannot_be_read_stops_its_campaign_until_it_is_taken_back() {
    let site = Site::new();
    let (keeper, _) = site.start();
    let store = Arc::new(MemoryConfig::default());
    store.put("campaign.run", Bytes::new()).expect("put");
    store.put("campaign.walk", Bytes::from_static(b"{\"of_tomorrow\": 1}")).expect("put");
    let resumed = keeper.resume(store.clone()).expect("read");
    assert_eq!(resumed.stopped.len(), 2);
    for name in NAMES {
        let more = keeper.change(name, &change(&json!({ "status": "active" }))).err();
        assert!(matches!(&more, Some(EditError::Refused(why)) if why.contains("taken back first")));
        let back = keeper.change(name, &Change::Reset).expect("taken back");
        assert_eq!(back.campaign_by_name(name).map(|one| one.status), Some(Status::Active));
    }
    assert_eq!(store.all("").expect("read"), []);
}
