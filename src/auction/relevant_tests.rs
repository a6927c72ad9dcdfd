use super::*;
use crate::auction::contenders::Contender;
use crate::auction::verdicts::ImpSet;
use crate::auction::world::Seated;
use crate::catalog::{FeatureGroups, generated};
use crate::units::Micros;
use proptest::prelude::*;

fn fit(index: u32) -> Fit {
    Fit {
        ad: Slot { index, generation: 0 },
        imp: 0,
        deal: None,
        is_fixed: false,
        is_preferred: false,
        seconds: 0,
        floor: Micros(1),
    }
}

/// Contenders with so many ads each, which are numbered through.
fn contenders(ads: &[usize]) -> Contenders {
    let catalog = generated(1, 1, 0.0);
    let row = catalog.all_campaigns().find_map(|one| catalog.row(one.slot.index)).expect("a row");
    let mut contenders = Contenders::default();
    for count in ads {
        let from = contenders.fits.len();
        contenders.fits.extend((from..from + count).map(|index| fit(index as u32)));
        contenders.list.push(Contender {
            seated: Seated::of(row, 0),
            imps: ImpSet::NONE,
            features: FeatureGroups::ALL,
            currency: row.currency,
            calibration_group: 0,
            is_held: true,
            range: from as u32..(from + count) as u32,
            is_preferred: false,
            scored: 0..0,
            ln_bound: f32::MAX,
            sequence: -1.0,
            // Says which campaign it is: the one whose ads begin here.
            ln_multiplier: from as f32,
        });
    }
    contenders
}

proptest! {
    #[test]
    fn what_is_spoken_for_is_kept_and_first_where_some_are_left_out(
        ads in proptest::collection::vec(1_usize..5, 1..12),
        spoken in proptest::collection::btree_set(0_u32..40, 0..12),
        fits_max in 0_usize..30,
        seed in any::<u64>(),
    ) {
        let mut contenders = contenders(&ads);
        let total: usize = ads.iter().sum();
        let mut relevant = Relevant::default();
        for index in &spoken {
            relevant.list.note(Family::Content, Slot { index: *index, generation: 0 }, 0.5);
        }
        relevant.bound(&mut contenders, fits_max, seed);
        let Contenders { list, fits, .. } = &contenders;
        let kept = if fits_max == 0 { total } else { total.min(fits_max) };
        prop_assert_eq!(fits.len(), kept);
        let is_spoken = |fit: &Fit| spoken.contains(&fit.ad.index);
        let wanted = spoken.iter().filter(|index| (**index as usize) < total).count();
        prop_assert_eq!(fits.iter().filter(|fit| is_spoken(fit)).count(), wanted.min(kept));
        let mut end = 0_u32;
        let mut was_first = true;
        for contender in list {
            prop_assert_eq!(contender.range.start, end);
            prop_assert!(!contender.range.is_empty());
            end = contender.range.end;
            let own = contender.fits(fits);
            let first = contender.ln_multiplier as u32;
            let count = ads.iter().scan(0, |from, count| {
                let start = *from;
                *from += count;
                Some((start, *count))
            }).find(|(start, _)| *start as u32 == first).map_or(0, |(_, count)| count as u32);
            prop_assert!(own.iter().all(|fit| (first..first + count).contains(&fit.ad.index)));
            let has_spoken = (first..first + count).any(|index| spoken.contains(&index));
            prop_assert!(was_first || !has_spoken || kept == total);
            was_first = has_spoken;
        }
        prop_assert_eq!(end as usize, fits.len());
    }
}

#[test]
fn which_others_stay_is_drawn_by_the_request() {
    let kept = |seed| {
        let mut contenders = contenders(&[1; 20]);
        Relevant::default().bound(&mut contenders, 5, seed);
        contenders.fits.iter().map(|fit| fit.ad.index).collect::<Vec<_>>()
    };
    assert_eq!(kept(3), [3, 4, 5, 6, 7]);
    assert_eq!(kept(18), [18, 19, 0, 1, 2]);
    assert_eq!(kept(3), kept(23));
}
