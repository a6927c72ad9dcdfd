//! The catalog as readers see it: one immutable snapshot an epoch.

use super::campaign::{Advertiser, Campaign, Status};
use super::creative::Ad;
use super::domain::{Domains, Kept};
use super::edit::{self, CampaignEdit, CampaignView, EditError, Edited};
use super::facts::RequestFacts;
use super::filters::Reason;
use super::index::{EligibilityIndex, EligibilityScratch};
use super::items::Item;
use super::rows::{AdRow, BlockKeys, CampaignRow, Rows, Shape};
use super::slots::SlotTable;
use super::split::{self, ARMS_MAX, KnownStrategies};
use crate::prefetch::prefetch;
use crate::units::{AdvertiserId, CampaignId, CategoryId, Slot};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;

/// Advertisers, campaigns and ads at one epoch, with the index over them.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Grows by one with each change.
    pub epoch: u64,
    /// In the order of the file.
    pub advertisers: Vec<Advertiser>,
    /// By slot index; `None` where a slot is empty.
    pub campaigns: Vec<Option<Campaign>>,
    /// By ad slot index; `None` where a slot is empty. Shared between epochs that differ only by
    /// an edit of terms.
    pub ads: Arc<Vec<Option<Ad>>>,
    /// Which campaigns fit a request.
    pub index: EligibilityIndex,
    /// What shops sell, by key.
    items: Arc<[Item]>,
    rows: Arc<Rows>,
    strategies: Arc<KnownStrategies>,
    domains: Arc<Domains>,
    /// Product categories in which a campaign sells whose domain keeps no behaviour.
    unkept: Arc<HashSet<CategoryId>>,
    campaign_slots: Arc<SlotTable>,
    ad_slots: Arc<SlotTable>,
}

/// What a catalog is made of: checked, not yet seated.
pub(super) struct Parts {
    pub advertisers: Vec<Advertiser>,
    /// Each campaign with its ads.
    pub campaigns: Vec<(Campaign, Vec<Ad>)>,
    /// The rules of trades.
    pub domains: Arc<Domains>,
    /// Sorted by key.
    pub items: Arc<[Item]>,
}

impl Catalog {
    /// Seats campaigns and ads where they sat in `previous`, and builds the index.
    pub(super) fn assemble(
        parts: Parts,
        strategies: Arc<KnownStrategies>,
        previous: Option<&Self>,
    ) -> Self {
        let epoch = previous.map_or(1, |previous| previous.epoch + 1);
        let nobody = SlotTable::default();
        let ids: Vec<_> = parts.campaigns.iter().map(|(campaign, _)| campaign.id.0).collect();
        let of_campaigns = previous.map_or(&nobody, |previous| &*previous.campaign_slots);
        let campaign_slots = of_campaigns.assign(&ids, epoch);
        let all_ads = parts.campaigns.iter().flat_map(|(_, ads)| ads);
        let ids: Vec<_> = all_ads.map(|ad| ad.id.0).collect();
        let of_ads = previous.map_or(&nobody, |previous| &*previous.ad_slots);
        let ad_slots = of_ads.assign(&ids, epoch);
        let unkept = parts.campaigns.iter().map(|(campaign, _)| campaign);
        let unkept = unkept.filter(|one| one.domain().behaviour == Kept::Conversions);
        let unkept = Arc::new(unkept.map(|campaign| campaign.category).collect());
        let mut campaigns = vec![None; campaign_slots.len()];
        let mut ads = vec![None; ad_slots.len()];
        for (mut campaign, its_ads) in parts.campaigns {
            let Some(slot) = campaign_slots.slot(campaign.id.0) else { continue };
            campaign.slot = slot;
            campaign.ads.clear();
            for mut ad in its_ads {
                let Some(slot) = ad_slots.slot(ad.id.0) else { continue };
                ad.slot = slot;
                ad.campaign = campaign.slot.index;
                campaign.ads.push(slot.index);
                ads[slot.index as usize] = Some(ad);
            }
            campaigns[slot.index as usize] = Some(campaign);
        }
        Self {
            epoch,
            advertisers: parts.advertisers,
            index: EligibilityIndex::build(&campaigns, epoch),
            rows: Arc::new(Rows::build(&campaigns, &ads)),
            items: parts.items,
            campaigns,
            ads: Arc::new(ads),
            strategies,
            domains: parts.domains,
            unkept,
            campaign_slots: Arc::new(campaign_slots),
            ad_slots: Arc::new(ad_slots),
        }
    }

    /// The campaign at a slot index.
    #[must_use]
    pub fn campaign(&self, index: u32) -> Option<&Campaign> {
        self.campaigns.get(index as usize)?.as_ref()
    }

    /// The campaign with this id.
    #[must_use]
    pub fn campaign_by_id(&self, id: CampaignId) -> Option<&Campaign> {
        self.campaign(self.campaign_slots.slot(id.0)?.index)
    }

    /// The campaign of this name.
    #[must_use]
    pub fn campaign_by_name(&self, name: &str) -> Option<&Campaign> {
        self.campaign_by_id(CampaignId::of(name)).filter(|campaign| campaign.name == name)
    }

    /// All campaigns, by slot, paused ones included.
    pub fn all_campaigns(&self) -> impl Iterator<Item = &Campaign> {
        self.campaigns.iter().flatten()
    }

    /// Campaigns that are stopped because their edits do not fit their files.
    #[must_use]
    pub fn stopped(&self) -> usize {
        self.all_campaigns().filter(|campaign| campaign.is_stopped()).count()
    }

    /// The campaigns whose users several strategies share, in the order of their rows' numbers, each
    /// with the places of its arms' paces.
    pub fn splits(&self) -> impl Iterator<Item = (&Campaign, SmallVec<[Slot; ARMS_MAX]>)> {
        split::splits(&self.campaigns)
    }

    /// The ad at an ad slot index.
    #[must_use]
    pub fn ad(&self, index: u32) -> Option<&Ad> {
        self.ads.get(index as usize)?.as_ref()
    }

    /// Asks for an ad and its campaign, which an answer reads.
    pub fn prefetch_bid(&self, campaign: u32, ad: u32) {
        prefetch(&self.ads, ad as usize);
        prefetch(&self.campaigns, campaign as usize);
    }

    /// What an auction reads of the campaign at a slot index.
    #[inline]
    #[must_use]
    pub fn row(&self, index: u32) -> Option<&CampaignRow> {
        self.rows.campaign(index)
    }

    /// Asks for what of the row of the campaign at a slot index decides whether it takes part.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        self.rows.prefetch(index);
    }

    /// Asks for the rest of the row, and for the rows of the campaign's ads.
    #[inline]
    pub fn prefetch_ads(&self, index: u32) {
        self.rows.prefetch_ads(index);
    }

    /// What an auction reads of the campaign's ads.
    #[inline]
    #[must_use]
    pub fn ad_rows(&self, row: &CampaignRow) -> &[AdRow] {
        self.rows.ads(row)
    }

    /// The shapes of all ads, by their numbers.
    #[inline]
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.rows.shapes
    }

    /// How many sets of shapes campaigns have; numbers of sets lie below.
    #[inline]
    #[must_use]
    pub fn shape_sets(&self) -> usize {
        self.rows.shape_sets()
    }

    /// The numbers of the shapes that a campaign's ads have, each once, by the number of its set.
    #[inline]
    #[must_use]
    pub fn shape_set(&self, number: u32) -> &[u32] {
        self.rows.shape_set(number)
    }

    /// What a request may block of the campaign; `None` where its ads differ in that.
    #[inline]
    #[must_use]
    pub fn block_keys(&self, row: &CampaignRow) -> Option<&BlockKeys> {
        self.rows.blocks(row)
    }

    /// Whether a request that blocks this key may block an ad by it.
    #[inline]
    #[must_use]
    pub fn may_block(&self, key: u64) -> bool {
        self.rows.blockable.knows(key)
    }

    /// The ads of a campaign.
    pub fn ads_of<'a>(&'a self, campaign: &'a Campaign) -> impl Iterator<Item = &'a Ad> + Clone {
        campaign.ads.iter().filter_map(|index| self.ad(*index))
    }

    /// What shops sell, sorted by key.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item with this key.
    #[must_use]
    pub fn item(&self, key: u32) -> Option<&Item> {
        let place = self.items.binary_search_by_key(&key, |item| item.key).ok()?;
        self.items.get(place)
    }

    /// All advertisers.
    pub fn advertisers(&self) -> impl Iterator<Item = &Advertiser> {
        self.advertisers.iter()
    }

    /// The advertiser with this id.
    #[must_use]
    pub fn advertiser(&self, id: AdvertiserId) -> Option<&Advertiser> {
        self.advertisers.iter().find(|advertiser| advertiser.id == id)
    }

    /// Whether behaviour that this advertiser reports, in a category of this name, may be kept of the
    /// user: not where its own domain keeps none, nor in a category that belongs to such a domain,
    /// whether the domain names it or a campaign of it sells there.
    #[must_use]
    pub fn keeps_behaviour(&self, advertiser: AdvertiserId, category: &str) -> bool {
        let keeps = |behaviour: Kept| behaviour == Kept::Interest;
        let sector = self.advertiser(advertiser).map(|advertiser| advertiser.sector);
        sector.is_some_and(|sector| keeps(self.domains.get(sector).behaviour))
            && self.domains.owner(category).is_none_or(|owner| keeps(owner.behaviour))
            && !self.unkept.contains(&CategoryId::of(category.trim()))
    }

    /// The same of behaviour that names an item: what its feed says it is counts too.
    #[must_use]
    pub fn keeps_behaviour_on(&self, item: u32) -> bool {
        let item = self.item(item);
        item.is_none_or(|item| self.keeps_behaviour(item.advertiser, &item.category_name))
    }

    /// See [`EligibilityIndex::eligible`].
    pub fn eligible(
        &self,
        facts: &RequestFacts,
        scratch: &mut EligibilityScratch,
        out: &mut Vec<u32>,
    ) {
        self.index.eligible(facts, scratch, out);
    }

    /// Every filter that keeps the campaign at this slot index from the request; empty: it is
    /// eligible. Slow: for explanations.
    #[must_use]
    pub fn exclusion_reasons(&self, facts: &RequestFacts, index: u32) -> SmallVec<[Reason; 4]> {
        let Some(campaign) = self.campaign(index) else {
            return SmallVec::from_slice(&[Reason::Unknown]);
        };
        let mut reasons = campaign.filters.reasons(facts);
        if campaign.status == Status::Paused {
            reasons.insert(0, Reason::Paused);
        }
        reasons
    }

    /// The next catalog, in which one campaign is changed once more. Slots stay.
    ///
    /// # Errors
    /// An unknown name, or the rules that the campaign would break.
    pub fn with_campaign_edit(&self, name: &str, edit: &CampaignEdit) -> Result<Self, EditError> {
        let unknown = || EditError::UnknownCampaign(name.to_owned());
        let campaign = self.campaign_by_name(name).ok_or_else(unknown)?;
        let advertiser = self.advertiser(campaign.advertiser).ok_or_else(unknown)?;
        let before = campaign.edited.as_deref().cloned();
        let mut edited = before.unwrap_or_else(|| Edited {
            changes: Ok(CampaignEdit::default()),
            fault: None,
            base: campaign.clone(),
            base_ads: self.ads_of(campaign).cloned().collect(),
        });
        let mut changes = edited.changes.map_err(|reason| {
            EditError::Refused(format!("earlier edits must be taken back first: {reason}"))
        })?;
        changes.merge(edit.clone());
        // Ads that were edited before are there, unless the campaign was stopped.
        let has_ads = edit.ads.is_some() || edited.fault.is_some();
        let ads = changes.ads.take_if(|_| !has_ads);
        let next = edited.base.clone();
        let next = edit::apply(next, advertiser, self.ads_of(campaign), &changes, &self.strategies);
        let (mut next, drafted) =
            next.map_err(|faults| EditError::Refused(edit::in_one_line(&faults)))?;
        let others = self.all_campaigns().filter(|other| other.id != next.id);
        if let Some(reason) = split::too_many(others.chain([&next])) {
            return Err(EditError::Refused(reason));
        }
        changes.ads = ads.or(changes.ads);
        (edited.changes, edited.fault) = (Ok(changes.clone()), None);
        next.edited = (changes != CampaignEdit::default()).then(|| Arc::new(edited));
        match drafted {
            Some(drafted) => self.with_ads(next, drafted),
            None => Ok(self.with_terms(Campaign {
                slot: campaign.slot,
                ads: campaign.ads.clone(),
                ..next
            })),
        }
    }

    /// The next catalog, in which one campaign is as its file says. Slots stay.
    ///
    /// # Errors
    /// An unknown name, or an ad whose name another campaign's edit has taken.
    pub fn without_edits(&self, name: &str) -> Result<Self, EditError> {
        let unknown = || EditError::UnknownCampaign(name.to_owned());
        let campaign = self.campaign_by_name(name).ok_or_else(unknown)?;
        match campaign.edited.as_deref() {
            None => Ok(self.clone()),
            Some(edited) => self.with_ads(edited.base.clone(), edited.base_ads.clone()),
        }
    }

    /// The next catalog, in which one campaign has other terms, and the ads that it had.
    fn with_terms(&self, campaign: Campaign) -> Self {
        let mut campaigns = self.campaigns.clone();
        let index = campaign.slot.index as usize;
        campaigns[index] = Some(campaign);
        let epoch = self.epoch + 1;
        Self {
            epoch,
            advertisers: self.advertisers.clone(),
            index: EligibilityIndex::build(&campaigns, epoch),
            rows: Arc::new(Rows::build(&campaigns, &self.ads)),
            items: Arc::clone(&self.items),
            campaigns,
            ads: Arc::clone(&self.ads),
            strategies: Arc::clone(&self.strategies),
            domains: Arc::clone(&self.domains),
            unkept: Arc::clone(&self.unkept),
            campaign_slots: Arc::clone(&self.campaign_slots),
            ad_slots: Arc::clone(&self.ad_slots),
        }
    }

    /// The next catalog, in which one campaign has other ads. Ads that stay keep their slots.
    fn with_ads(&self, campaign: Campaign, ads: Vec<Ad>) -> Result<Self, EditError> {
        let own = self.campaign_slots.slot(campaign.id.0).map(|slot| slot.index);
        let owner = |ad: &Ad| Some(self.ad(self.ad_slots.slot(ad.id.0)?.index)?.campaign);
        for (position, ad) in ads.iter().enumerate() {
            let is_twice = ads[..position].iter().any(|earlier| earlier.id == ad.id);
            if is_twice || owner(ad).is_some_and(|owner| Some(owner) != own) {
                let reason = format!("ads[{position}].name: `{}` exists already", ad.name);
                return Err(EditError::Refused(reason));
            }
        }
        let others = self.all_campaigns().filter(|other| other.id != campaign.id);
        let others = others.map(|other| (other.clone(), self.ads_of(other).cloned().collect()));
        let mut campaigns: Vec<_> = others.collect();
        campaigns.push((campaign, ads));
        let (domains, items) = (Arc::clone(&self.domains), Arc::clone(&self.items));
        let parts = Parts { advertisers: self.advertisers.clone(), campaigns, domains, items };
        Ok(Self::assemble(parts, Arc::clone(&self.strategies), Some(self)))
    }

    /// The campaign of this name as the API shows it.
    #[must_use]
    pub fn campaign_view(&self, name: &str) -> Option<CampaignView> {
        let campaign = self.campaign_by_name(name)?;
        let advertiser = self.advertiser(campaign.advertiser)?;
        Some(CampaignView::new(campaign, &advertiser.name, self.ads_of(campaign)))
    }
}
