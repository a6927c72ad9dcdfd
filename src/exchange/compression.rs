//! gzip and zstd, both ways, between buffers that one worker reuses.
//!
//! What a body claims to hold is never believed: gzip is read to one byte past the limit and no
//! further, and zstd writes into a buffer of the limit's size, which is also its window, so that no
//! frame makes it allocate one.

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// A coding of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another coding, or several on top of each other.
    #[error("content-encoding is not identity, gzip or zstd")]
    Unknown,
    /// One that we know, from an exchange that agreed to send plain bodies.
    #[error("compression is switched off for this exchange")]
    SwitchedOff,
    /// More bytes than allowed.
    #[error("the body is larger than {0} bytes when decoded")]
    TooLarge(usize),
    /// Not what its header says, or cut.
    #[error("the compressed body is damaged")]
    Broken,
}

impl Coding {
    /// The name in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        let is = |one: &str| name.eq_ignore_ascii_case(one);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// The coding that `Content-Encoding` names; `None` where there is none.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`].
    pub fn of_body(header: Option<&[u8]>) -> Result<Option<Self>, DecodeError> {
        let Some(header) = header else { return Ok(None) };
        let name = std::str::from_utf8(header).map_err(|_| DecodeError::Unknown)?.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        Self::of_name(name).map(Some).ok_or(DecodeError::Unknown)
    }

    /// The coding that `Accept-Encoding` likes best (RFC 9110 §12.5.3), zstd of two that it likes
    /// equally, as the cheaper one. `None` is the plain text, also where even that is excluded:
    /// an answer that was not asked for is better than none.
    #[must_use]
    pub fn asked(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let (mut gzip, mut zstd, mut identity, mut others) = (None, None, None, None);
        for element in text.split(',') {
            let mut parts = element.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let Some(weight) = weight(parts) else { continue };
            let place = match Self::of_name(name) {
                Some(Self::Gzip) => &mut gzip,
                Some(Self::Zstd) => &mut zstd,
                None if name.eq_ignore_ascii_case("identity") => &mut identity,
                None if name == "*" => &mut others,
                None => continue,
            };
            *place = Some(weight);
        }
        let weight_of = |named: Option<u16>| named.or(others).unwrap_or(0);
        let (gzip, zstd) = (weight_of(gzip), weight_of(zstd));
        let (best, coding) = if zstd >= gzip { (zstd, Self::Zstd) } else { (gzip, Self::Gzip) };
        (best > 0 && best >= identity.unwrap_or(0)).then_some(coding)
    }
}

/// A weight in thousandths; `None` for one that is none, which takes its element out.
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    let mut found = 1_000;
    for parameter in parameters {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("q") {
            continue;
        }
        let (whole, part) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() != 1 || part.len() > 3 || !is_digits(whole) || !is_digits(part) {
            return None;
        }
        let thousandths = format!("{whole}{part:0<3}").parse().ok()?;
        found = Some(thousandths).filter(|q| *q <= 1_000)?;
    }
    Some(found)
}

/// Level of both: answers are a kilobyte or two, and latency is what we sell.
const LEVEL: u32 = 1;

/// What one worker codes with. Grows to the largest body allowed.
#[derive(Default)]
pub struct Codec {
    decoder: DCtx<'static>,
    encoder: CCtx<'static>,
    buffer: Vec<u8>,
}

impl Codec {
    /// What `body` holds, if that is at most `bytes_max` bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(
        &mut self,
        coding: Coding,
        body: &[u8],
        bytes_max: usize,
    ) -> Result<Bytes, DecodeError> {
        self.buffer.clear();
        match coding {
            Coding::Gzip => {
                let mut source = MultiGzDecoder::new(body).take(bytes_max as u64 + 1);
                source.read_to_end(&mut self.buffer).map_err(|_| DecodeError::Broken)?;
            }
            Coding::Zstd => {
                self.buffer.reserve_exact(bytes_max);
                let decoded = self.decoder.decompress(&mut self.buffer, body);
                decoded.map_err(|code| match zstd_safe::get_error_name(code) {
                    "Destination buffer is too small" => DecodeError::TooLarge(bytes_max),
                    _ => DecodeError::Broken,
                })?;
            }
        }
        if self.buffer.len() > bytes_max {
            return Err(DecodeError::TooLarge(bytes_max));
        }
        Ok(Bytes::copy_from_slice(&self.buffer))
    }

    /// `answer` in a coding; `None` where that is no shorter.
    pub fn encode(&mut self, coding: Coding, answer: &[u8]) -> Option<Bytes> {
        self.buffer.clear();
        match coding {
            Coding::Gzip => {
                let mut sink = GzEncoder::new(&mut self.buffer, Compression::new(LEVEL));
                // Writing to a `Vec` cannot fail.
                sink.write_all(answer).ok()?;
                sink.finish().ok()?;
            }
            Coding::Zstd => {
                self.buffer.reserve_exact(zstd_safe::compress_bound(answer.len()));
                let level = CParameter::CompressionLevel(LEVEL as i32);
                self.encoder.set_parameter(level).ok()?;
                self.encoder.compress2(&mut self.buffer, answer).ok()?;
            }
        }
        (self.buffer.len() < answer.len()).then(|| Bytes::copy_from_slice(&self.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_weight_wins() {
        let (gzip, zstd) = (Some(Coding::Gzip), Some(Coding::Zstd));
        for (header, expected) in [
            ("gzip", gzip),
            ("x-gzip", gzip),
            ("GZIP, deflate, br", gzip),
            ("zstd", zstd),
            ("gzip, zstd", zstd),
            ("gzip;q=1.0, zstd;q=0.999", gzip),
            ("gzip;q=0.5, zstd; q=0.8", zstd),
            ("gzip;q=0", None),
            ("gzip;q=0.000, *;q=0.1", zstd),
            ("*", zstd),
            ("*;q=0, gzip;q=0.001", gzip),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", gzip),
            ("identity;q=0", None),
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;q=", None),
            ("gzip;level", None),
            ("br", None),
            ("", None),
            (",,;q=1,", None),
        ] {
            assert_eq!(Coding::asked(header.as_bytes()), expected, "{header}");
        }
        assert_eq!(Coding::asked(b"\xff"), None);
    }

    #[test]
    fn one_known_coding_is_taken() {
        for (header, expected) in [
            (None, Ok(None)),
            (Some("identity"), Ok(None)),
            (Some(" gzip "), Ok(Some(Coding::Gzip))),
            (Some("Zstd"), Ok(Some(Coding::Zstd))),
            (Some("br"), Err(DecodeError::Unknown)),
            (Some("gzip, gzip"), Err(DecodeError::Unknown)),
        ] {
            assert_eq!(Coding::of_body(header.map(str::as_bytes)), expected, "{header:?}");
        }
    }

    #[test]
    fn what_is_too_large_or_damaged_is_refused() {
        let mut codec = Codec::default();
        let bomb = vec![b' '; 1 << 24];
        for coding in [Coding::Gzip, Coding::Zstd] {
            let packed = codec.encode(coding, &bomb).expect("much shorter");
            assert!(packed.len() < bomb.len() / 50);
            let mut victim = Codec::default();
            let refused = victim.decode(coding, &packed, 65_536);
            assert_eq!(refused, Err(DecodeError::TooLarge(65_536)));
            assert!(victim.buffer.capacity() <= 2 * 65_536, "{}", victim.buffer.capacity());

            let text = b"an answer, an answer, an answer, an answer, an answer, an answer";
            let packed = codec.encode(coding, text).expect("shorter");
            let limit = text.len();
            assert_eq!(codec.decode(coding, &packed, limit).expect("whole"), &text[..]);
            let one_less = codec.decode(coding, &packed, limit - 1);
            assert_eq!(one_less, Err(DecodeError::TooLarge(limit - 1)));
            let cut = codec.decode(coding, &packed[..packed.len() - 1], limit);
            assert_eq!(cut, Err(DecodeError::Broken), "{coding:?}");
            assert_eq!(codec.decode(coding, text, limit), Err(DecodeError::Broken));
        }
    }

    #[test]
    fn several_members_are_one_body() {
        let mut codec = Codec::default();
        let text = [b'a'; 100];
        for coding in [Coding::Gzip, Coding::Zstd] {
            let packed = codec.encode(coding, &text).expect("shorter");
            let both = [&packed[..], &packed].concat();
            assert_eq!(codec.decode(coding, &both, 200).expect("whole").len(), 200);
            assert_eq!(codec.decode(coding, &both, 199), Err(DecodeError::TooLarge(199)));
        }
    }

    #[test]
    fn a_frame_that_names_a_vast_window_costs_nothing() {
        // Magic, no content size, a window of 2^41 bytes; then one raw last block of one byte.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x09, 0x00, 0x00, b'a'];
        let mut codec = Codec::default();
        let outcome = codec.decode(Coding::Zstd, &frame, 1_024);
        assert!(matches!(outcome, Err(DecodeError::Broken)) || outcome.is_ok_and(|b| b == "a"));
        assert!(codec.buffer.capacity() <= 2_048 && codec.decoder.sizeof() < 1 << 18);
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(bytes in prop::collection::vec(0..4u8, 0..4_000)) {
            let mut codec = Codec::default();
            for coding in [Coding::Gzip, Coding::Zstd] {
                if let Some(packed) = codec.encode(coding, &bytes) {
                    prop_assert_eq!(&codec.decode(coding, &packed, 4_000).expect("whole"), &bytes);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut codec = Codec::default();
            for coding in [Coding::Gzip, Coding::Zstd] {
                let _ = codec.decode(coding, &bytes, 1_000);
            }
        }
    }
}
