//! From bytes to the view: guard, parse, refuse what cannot be answered, check the limits.
//!
//! Refused are only: bodies beyond the limits, what is not UTF-8 or not a JSON object, a request
//! without `id` (an answer could not be addressed) and one without an imp (there is nothing to bid
//! on). All else is accepted: an imp without `id` stays but is never bid on, a request with both
//! site and app counts as the app's, negative lengths and unknown codes say nothing. Floors and sizes
//! of banners are told apart from missing ones where they cannot be read, and get no bid: there is
//! nothing lenient in bidding below a floor, or in a size that does not fit.
//!
//! Skipping what nobody reads is most of the cost, so the view holds only what is read, and
//! [`super::json`] is made for skipping.

use super::json::{Source, Stop};
use super::lenient::Lenient;
use super::limits::{Limits, ParseError, guard};
use super::view::BidRequest;

/// Parses a bid request. Text in it borrows from `body` wherever it was written without escapes.
///
/// # Errors
/// The module lists what is refused; see [`ParseError`].
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<BidRequest<'a>, ParseError> {
    let mut request = BidRequest::default();
    parse_into(body, limits, &mut request)?;
    Ok(request)
}

/// The same into its place, where the default stands: a request has 1.8 kB, not to be moved about.
///
/// # Errors
/// As of [`parse`].
pub fn parse_into<'a>(
    body: &'a [u8],
    limits: &Limits,
    request: &mut BidRequest<'a>,
) -> Result<(), ParseError> {
    let text = guard(body, limits)?;
    let mut source = Source::new(text, limits.depth);
    request.read_new(&mut source).and_then(|_| source.end()).map_err(|stop| match stop {
        Stop::NotJson => ParseError::NotJson { at: source.at() },
        Stop::TooDeep => ParseError::TooDeep { limit: limits.depth },
    })?;
    accept(request, body.len(), limits)
}

/// Holds a parsed request against what it must have and may have.
fn accept(request: &BidRequest<'_>, body_bytes: usize, limits: &Limits) -> Result<(), ParseError> {
    if request.id.is_empty() {
        return Err(ParseError::NoId);
    }
    if request.imp.is_empty() {
        return Err(ParseError::NoImp);
    }
    if request.imp.len() > limits.imps {
        return Err(ParseError::TooManyImps { limit: limits.imps });
    }
    // A list of n elements takes 2n bytes at least, so most bodies are too short to offend.
    if body_bytes > limits.string_bytes.min(2 * limits.list_items) {
        request.audit("request", limits)?;
    }
    Ok(())
}
