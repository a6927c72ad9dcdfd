//! What a request may cost before anything of it is believed: sizes, depth, and clear refusals.

/// Bounds on one request. Beyond them it is refused with a reason, before or right after parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Objects and lists inside one another.
    pub depth: usize,
    /// Imps of a request.
    pub imps: usize,
    /// Bytes of one text that we read. Text in fields that we skip is bounded by the body alone.
    pub string_bytes: usize,
    /// Elements of one list that we read.
    pub list_items: usize,
}

/// Largest body: 28 times the largest of 2,962 collected requests; the largest ones that exchanges
/// document are near 100 kB.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting: OpenRTB with its extensions stays under 15; the parser itself stops at 128.
pub const DEPTH_MAX: usize = 64;
/// Most imps: a page holds tens of placements, and each costs a selection.
pub const IMPS_MAX: usize = 100;
/// Longest text: what browsers and servers take as a URL.
pub const STRING_BYTES_MAX: usize = 8 * 1024;
/// Longest list: publishers' `badv` lists hold up to a few thousand domains.
pub const LIST_ITEMS_MAX: usize = 4_096;

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES_MAX,
            depth: DEPTH_MAX,
            imps: IMPS_MAX,
            string_bytes: STRING_BYTES_MAX,
            list_items: LIST_ITEMS_MAX,
        }
    }
}

/// Why a request was refused. The sender is at fault; the text may be sent back to it (it quotes
/// nothing of the body).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The body is larger than `limit` bytes.
    #[error("the body has {bytes} bytes, more than {limit}")]
    BodyTooLarge {
        /// Bytes received.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Objects and lists are nested deeper than `limit`.
    #[error("nested deeper than {limit}")]
    TooDeep {
        /// Depth allowed.
        limit: usize,
    },
    /// The body is not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Where the first invalid byte is.
        at: usize,
    },
    /// The body is not JSON, or holds a number or an escape that JSON cannot mean.
    #[error("not JSON near byte {at}")]
    NotJson {
        /// Where the parser stopped.
        at: usize,
    },
    /// The body is not a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// `id` is missing or empty: an answer could not be addressed.
    #[error("`id` is missing or empty")]
    NoId,
    /// `imp` is missing or has no object in it: there is nothing to bid on.
    #[error("`imp` is missing or empty")]
    NoImp,
    /// More imps than `limit`.
    #[error("more than {limit} imps")]
    TooManyImps {
        /// Imps allowed.
        limit: usize,
    },
    /// A text that we read is longer than `limit` bytes.
    #[error("`{field}` is longer than {limit} bytes")]
    StringTooLong {
        /// The field's key.
        field: &'static str,
        /// Bytes allowed.
        limit: usize,
    },
    /// A list that we read has more than `limit` elements.
    #[error("`{field}` has more than {limit} elements")]
    ListTooLong {
        /// The field's key.
        field: &'static str,
        /// Elements allowed.
        limit: usize,
    },
}

impl ParseError {
    /// A short stable name, for counters and explanations.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::TooDeep { .. } => "too_deep",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NoId => "no_id",
            Self::NoImp => "no_imp",
            Self::TooManyImps { .. } => "too_many_imps",
            Self::StringTooLong { .. } => "string_too_long",
            Self::ListTooLong { .. } => "list_too_long",
        }
    }
}

/// Looks at the raw bytes and answers them as text, or refuses. How deep it nests is for the reader
/// to see, which stops there: fast parsers recurse as deep as their input (a 60 kB body of brackets
/// overflows sonic-rs's stack and kills the process).
///
/// # Errors
/// `BodyTooLarge`, `NotUtf8`, `NotAnObject`.
pub fn guard<'a>(body: &'a [u8], limits: &Limits) -> Result<&'a str, ParseError> {
    if body.len() > limits.body_bytes {
        return Err(ParseError::BodyTooLarge { bytes: body.len(), limit: limits.body_bytes });
    }
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| ParseError::NotUtf8 { at: error.valid_up_to() })?;
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(ParseError::NotAnObject);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::parse;

    fn check(body: &str) -> Result<(), &'static str> {
        let limits = Limits::default();
        parse(body.as_bytes(), &limits).map(|_| ()).map_err(|error| error.as_str())
    }

    #[test]
    fn depth_is_exact_at_the_limit() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        // Skipped, and in fields that are read: as text, a number, a list, codes, an object.
        for key in ["a", "id", "tmax", "bcat", "regs", "ext", "device\":{\"geo", "imp\":{\"banner"]
        {
            let levels = key.matches('{').count();
            let body = |depth: usize| {
                let (inner, end) = (nested(depth - levels), "}".repeat(levels));
                format!("{{\"id\":\"r\",\"imp\":[{{}}],\"{key}\":{inner}{end}}}")
            };
            assert_ne!(check(&body(64)), Err("too_deep"), "{key}");
            assert_eq!(check(&body(65)), Err("too_deep"), "{key}");
        }
        // Many shallow lists are fine, and brackets in strings do not count, escapes or not.
        let around = |value: String| format!("{{\"id\":\"r\",\"imp\":[{{}}],\"a\":{value}}}");
        assert_eq!(check(&around(format!("[{}[]]", "[],".repeat(500)))), Ok(()));
        let quoted = format!("\"{}\\\"{}\"", "[{".repeat(300), "{".repeat(99));
        assert_eq!(check(&around(quoted)), Ok(()));
        let hidden = format!("\"\\\\\",\"b\":{}", nested(80));
        assert_eq!(check(&around(hidden)), Err("too_deep"));
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let brackets = format!("{{\"ext\":{}", "[".repeat(200_000));
        assert_eq!(check(&brackets), Err("too_deep"));
        assert_eq!(check(&"[".repeat(200_000)), Err("not_an_object"));
        assert_eq!(check(&" ".repeat(BODY_BYTES_MAX + 1)), Err("body_too_large"));
        assert_eq!(check(""), Err("not_an_object"));
        assert_eq!(check("null"), Err("not_an_object"));
        let refused = guard(b"{\"id\":\"\xff\"}", &Limits::default());
        assert_eq!(refused, Err(ParseError::NotUtf8 { at: 7 }));
    }
}
