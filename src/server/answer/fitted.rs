//! An ad as it stands in one imp: in which size, with which files, as which parts.

use crate::catalog::{AdKind, Banner};
use crate::openrtb::markup::{Tracking, write_in_json};
use crate::openrtb::vast::{Files, Linear, PlayerRules, VastMarkup, VastVersion, write_vast};
use crate::openrtb::{Defect, Imp, Library, Media, NativeMarkup, NativeRequest, write_native};

/// An ad and what an imp makes of it.
pub(super) enum Fitted<'a> {
    /// In this size, and of the ratio that was asked for if one was.
    Banner(&'a Banner, (u32, u32), Option<(u32, u32)>),
    Video(LinearFit<'a>),
    Audio(LinearFit<'a>),
    Native {
        library: &'a Library,
        request: NativeRequest<'a>,
        ver: &'a str,
    },
}

/// Video or audio for one player.
pub(super) struct LinearFit<'a> {
    linear: &'a Linear,
    version: VastVersion,
    files: Files<'a>,
    skip_least_s: u32,
}

impl<'a> Fitted<'a> {
    /// Fits an ad into an imp. A native request is parsed only here, for a native ad.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn new(imp: &'a Imp<'_>, kind: &'a AdKind) -> Result<Self, Defect> {
        match kind {
            AdKind::Banner(banner) => {
                let slot = imp.banner.as_ref().ok_or(Defect::MediaNotAllowed)?;
                let size = slot.size_for(&banner.sizes, banner.is_fluid);
                let size = size.ok_or(Defect::SizeNotAllowed)?;
                Ok(Self::Banner(banner, size, slot.ratio_of(size)))
            }
            AdKind::Video(linear) => {
                let slot = imp.video.as_deref().ok_or(Defect::MediaNotAllowed)?;
                let version = linear.version(slot.protocols).ok_or(Defect::ProtocolNotAllowed)?;
                let files = linear.files_for(&PlayerRules::from(slot));
                let skip_least_s = slot.skipafter.unwrap_or(0);
                Ok(Self::Video(LinearFit { linear, version, files, skip_least_s }))
            }
            AdKind::Audio(linear) => {
                let slot = imp.audio.as_deref().ok_or(Defect::MediaNotAllowed)?;
                let version = linear.version(slot.protocols).ok_or(Defect::ProtocolNotAllowed)?;
                let files = linear.files_for(&PlayerRules::from(slot));
                Ok(Self::Audio(LinearFit { linear, version, files, skip_least_s: 0 }))
            }
            AdKind::Native(library) => {
                let slot = imp.native.as_deref().ok_or(Defect::MediaNotAllowed)?;
                let request = slot.asks().ok_or(Defect::NativeAssetMissing)?;
                Ok(Self::Native { library, request, ver: &slot.ver })
            }
        }
    }

    /// Writes the markup into `out` as it stands inside of a JSON string, in place of what was there,
    /// by way of `plain` where it is not prepared. `None` when it cannot be written.
    pub(super) fn write(
        &self,
        name: &str,
        tracking: &Tracking<'_>,
        plain: &mut String,
        out: &mut String,
    ) -> Option<()> {
        out.clear();
        plain.clear();
        match self {
            Self::Banner(banner, ..) => banner.markup.write(&tracking.values, out),
            Self::Video(fit) => fit.write(name, false, tracking, plain),
            Self::Audio(fit) => fit.write(name, true, tracking, plain),
            Self::Native { library, request, ver } => {
                write_native(&NativeMarkup { request, ver, id: name, library }, tracking, plain)?;
            }
        }
        write_in_json(plain, out);
        Some(())
    }

    /// What the last check looks at.
    pub(super) fn media(&self) -> Media<'_> {
        match self {
            Self::Banner(banner, (w, h), _) => Media::Banner {
                w: *w,
                h: *h,
                mime: banner.mime,
                btypes: u64::from(banner.btypes),
                expdir: u64::from(banner.expdir),
                needs_topframe: banner.needs_topframe,
            },
            Self::Video(fit) => Media::Video {
                files: &fit.files,
                protocol: fit.protocol(),
                duration_s: fit.linear.duration_s,
                linearity: 1,
                is_skippable: fit.linear.skip_after_s.is_some(),
            },
            Self::Audio(fit) => Media::Audio {
                files: &fit.files,
                protocol: fit.protocol(),
                duration_s: fit.linear.duration_s,
            },
            Self::Native { library, request, .. } => Media::Native { request, library },
        }
    }

    /// Width and height as the answer tells them: of banners and videos.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        match self {
            Self::Banner(_, size, _) => Some(*size),
            Self::Video(fit) => fit.files.first().map(|file| (file.w, file.h)),
            Self::Audio(_) | Self::Native { .. } => None,
        }
    }

    /// Relative width and height, where the size was asked for by its ratio.
    pub(super) const fn ratio(&self) -> Option<(u32, u32)> {
        match self {
            Self::Banner(_, _, ratio) => *ratio,
            Self::Video(_) | Self::Audio(_) | Self::Native { .. } => None,
        }
    }

    /// OpenRTB `mtype`: 1 banner, 2 video, 3 audio, 4 native.
    pub(super) const fn mtype(&self) -> u8 {
        match self {
            Self::Banner(..) => 1,
            Self::Video(_) => 2,
            Self::Audio(_) => 3,
            Self::Native { .. } => 4,
        }
    }
}

impl LinearFit<'_> {
    fn protocol(&self) -> u8 {
        self.version.protocol(self.linear.tag.is_some())
    }

    fn write(&self, id: &str, is_audio: bool, tracking: &Tracking<'_>, out: &mut String) {
        let Self { linear, version, files, skip_least_s } = self;
        let (version, skip_least_s) = (*version, *skip_least_s);
        let markup = VastMarkup { version, id, linear, files, is_audio, skip_least_s };
        write_vast(&markup, tracking, out);
    }
}
