//! The consent configuration, and the policy that a valid one becomes.

use serde::Deserialize;

/// What an operator may set. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Our id on IAB Europe's Global Vendor List. Without one nothing is permitted under the GDPR.
    pub vendor_id: Option<u16>,
    /// Purposes that we declared on the list to pursue as a legitimate interest, of 2 and 7; the
    /// others need consent. Default none.
    pub legitimate_interest: Vec<u8>,
    /// Purposes that we declared as flexible, of 2 and 7: a publisher may move them to the other
    /// legal basis. Default none.
    pub flexible: Vec<u8>,
    /// Whether the GDPR applies where a request says neither so nor otherwise and has no consent
    /// string. Default by country.
    pub gdpr_when_missing: GdprWhenMissing,
}

/// How a request without a word on the GDPR is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GdprWhenMissing {
    /// It applies in the European Economic Area, the United Kingdom and Switzerland.
    #[default]
    Country,
    /// It applies.
    Yes,
    /// It does not.
    No,
}

/// A valid configuration. The default is that of an operator who sets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Never 0.
    pub(super) vendor_id: Option<u16>,
    legitimate_interest: u8,
    flexible: u8,
    gdpr_when_missing: GdprWhenMissing,
}

/// Purposes of ours that the framework lets us pursue as a legitimate interest: not 1, 3 and 4,
/// which always need consent.
const MOVABLE: [u8; 2] = [2, 7];

impl TryFrom<&Config> for Policy {
    type Error = String;

    /// # Errors
    /// What is wrong and what would be right.
    fn try_from(config: &Config) -> Result<Self, String> {
        let bits = |key: &str, purposes: &[u8]| {
            let movable = |purpose: &u8| MOVABLE.contains(purpose);
            match purposes.iter().find(|purpose| !movable(purpose)) {
                Some(purpose) => Err(format!(
                    "consent.{key}: purpose {purpose} is not one of 2 and 7; 1, 3 and 4 need consent"
                )),
                None => Ok(purposes.iter().fold(0, |bits, purpose| bits | 1 << purpose)),
            }
        };
        if config.vendor_id == Some(0) {
            return Err("consent.vendor_id: vendors are numbered from 1".to_owned());
        }
        Ok(Self {
            vendor_id: config.vendor_id,
            legitimate_interest: bits("legitimate_interest", &config.legitimate_interest)?,
            flexible: bits("flexible", &config.flexible)?,
            gdpr_when_missing: config.gdpr_when_missing,
        })
    }
}

impl Policy {
    /// Whether we pursue `purpose` as a legitimate interest, unless a publisher moves it.
    pub(super) const fn claims_interest(&self, purpose: u8) -> bool {
        self.legitimate_interest >> purpose & 1 == 1
    }

    /// Whether a publisher may move `purpose` to the other basis.
    pub(super) const fn is_flexible(&self, purpose: u8) -> bool {
        self.flexible >> purpose & 1 == 1
    }

    /// Whether the GDPR applies to a request from `country` that does not say.
    pub(super) fn presumes_gdpr(&self, country: &str) -> bool {
        match self.gdpr_when_missing {
            GdprWhenMissing::Yes => true,
            GdprWhenMissing::No => false,
            GdprWhenMissing::Country => is_european(country),
        }
    }
}

/// Countries under the GDPR or its British and Swiss likes, as ISO 3166-1 alpha-3 and alpha-2,
/// with the regions of theirs that have codes of their own: the 30 of the EEA, the United Kingdom,
/// Switzerland, Gibraltar, Åland and the French overseas departments.
#[rustfmt::skip]
const EUROPEAN: &[(&[u8; 3], &[u8; 2])] = &[
    (b"ALA", b"AX"), (b"AUT", b"AT"), (b"BEL", b"BE"), (b"BGR", b"BG"), (b"CHE", b"CH"),
    (b"CYP", b"CY"), (b"CZE", b"CZ"), (b"DEU", b"DE"), (b"DNK", b"DK"), (b"ESP", b"ES"),
    (b"EST", b"EE"), (b"FIN", b"FI"), (b"FRA", b"FR"), (b"GBR", b"GB"), (b"GIB", b"GI"),
    (b"GLP", b"GP"), (b"GRC", b"GR"), (b"GUF", b"GF"), (b"HRV", b"HR"), (b"HUN", b"HU"),
    (b"IRL", b"IE"), (b"ISL", b"IS"), (b"ITA", b"IT"), (b"LIE", b"LI"), (b"LTU", b"LT"),
    (b"LUX", b"LU"), (b"LVA", b"LV"), (b"MAF", b"MF"), (b"MLT", b"MT"), (b"MTQ", b"MQ"),
    (b"MYT", b"YT"), (b"NLD", b"NL"), (b"NOR", b"NO"), (b"POL", b"PL"), (b"PRT", b"PT"),
    (b"REU", b"RE"), (b"ROU", b"RO"), (b"SVK", b"SK"), (b"SVN", b"SI"), (b"SWE", b"SE"),
];

fn is_european(country: &str) -> bool {
    let code = country.trim().as_bytes();
    match code.len() {
        3 => EUROPEAN.iter().any(|(long, _)| code.eq_ignore_ascii_case(*long)),
        2 => EUROPEAN.iter().any(|(_, short)| code.eq_ignore_ascii_case(*short)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_says_what_is_wrong() {
        for (text, wrong) in [
            ("vendor_id = 0", "numbered from 1"),
            ("legitimate_interest = [2, 3]", "legitimate_interest: purpose 3"),
            ("flexible = [1]", "flexible: purpose 1"),
            ("flexible = [255]", "flexible: purpose 255"),
        ] {
            let config: Config = toml::from_str(text).expect("the right keys");
            let error = Policy::try_from(&config).expect_err("a wrong value");
            assert!(error.contains(wrong), "{text}: {error}");
        }
        for text in ["vendor = 1", "vendor_id = 65536", "gdpr_when_missing = \"maybe\""] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn europe_has_forty_codes_of_either_length() {
        assert_eq!(EUROPEAN.len(), 30 + 2 + 8);
        assert!(EUROPEAN.is_sorted());
        for code in ["DEU", "deu", "GBR", "CHE", "NOR", "DE", "is", " FRA "] {
            assert!(is_european(code), "{code}");
        }
        for code in ["", "USA", "US", "RUS", "TUR", "D", "DEUT", "UA"] {
            assert!(!is_european(code), "{code}");
        }
    }
}
