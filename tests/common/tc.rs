//! Writes TC and GPP strings for tests, field by field as the specifications list them, and with
//! nothing of the engine's reader.

/// Bits as they are pushed, most significant first.
#[derive(Clone, Debug, Default)]
pub struct Bits(Vec<bool>);

impl Bits {
    pub fn push(&mut self, value: u64, width: u32) -> &mut Self {
        self.0.extend((0..width).rev().map(|place| value >> place & 1 == 1));
        self
    }

    /// A bit for each of `1..=count`, set where listed.
    pub fn flags(&mut self, set: &[u16], count: u16) -> &mut Self {
        self.0.extend((1..=count).map(|number| set.contains(&number)));
        self
    }

    /// Web-safe base 64, filled up with zeros.
    pub fn text(&self) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let sextet = |bits: &[bool]| {
            let value = bits.iter().fold(0, |value, bit| value << 1 | usize::from(*bit));
            char::from(alphabet[value << (6 - bits.len())])
        };
        self.0.chunks(6).map(sextet).collect()
    }
}

/// First and last of each.
pub type Ranges = Vec<(u16, u16)>;

/// Vendors, written as a bit for each or as ranges.
#[derive(Clone, Debug)]
pub enum Vendors {
    Field(Vec<u16>),
    Ranges(Ranges),
}

impl Vendors {
    pub fn one(vendor: u16) -> Self {
        Self::Field(vec![vendor])
    }

    pub fn none() -> Self {
        Self::Field(Vec::new())
    }

    fn write(&self, bits: &mut Bits) {
        match self {
            Self::Field(vendors) => {
                let max = vendors.iter().copied().max().unwrap_or(0);
                bits.push(u64::from(max), 16).push(0, 1).flags(vendors, max);
            }
            Self::Ranges(ranges) => {
                let max = ranges.iter().map(|(_, last)| *last).max().unwrap_or(0);
                bits.push(u64::from(max), 16).push(1, 1);
                write_ranges(ranges, bits);
            }
        }
    }
}

fn write_ranges(ranges: &[(u16, u16)], bits: &mut Bits) {
    bits.push(ranges.len() as u64, 12);
    for (first, last) in ranges {
        bits.push(u64::from(first != last), 1).push(u64::from(*first), 16);
        if first != last {
            bits.push(u64::from(*last), 16);
        }
    }
}

/// A TC string to be written.
#[derive(Clone, Debug)]
pub struct Tc {
    pub version: u64,
    /// When the user was asked and answered, in tenths of a second.
    pub written: u64,
    pub features: Vec<u16>,
    pub purposes: Vec<u16>,
    pub interests: Vec<u16>,
    pub purpose_one_treatment: bool,
    pub consents: Vendors,
    pub vendor_interests: Vendors,
    /// Purpose, kind, and the vendors that it concerns.
    pub restrictions: Vec<(u64, u64, Ranges)>,
    pub disclosed: Option<Vendors>,
}

impl Tc {
    /// `vendor` may do everything, by consent and by legitimate interest.
    pub fn full(vendor: u16) -> Self {
        Self {
            version: 2,
            written: 17_700_000_000,
            features: vec![1, 2],
            purposes: (1..=11).collect(),
            interests: vec![2, 7, 8, 9, 10, 11],
            purpose_one_treatment: false,
            consents: Vendors::one(vendor),
            vendor_interests: Vendors::one(vendor),
            restrictions: Vec::new(),
            disclosed: None,
        }
    }

    /// The same with consent to these purposes alone, and no legitimate interest shown.
    pub fn consenting(vendor: u16, purposes: &[u16]) -> Self {
        Self {
            purposes: purposes.to_vec(),
            interests: Vec::new(),
            vendor_interests: Vendors::none(),
            ..Self::full(vendor)
        }
    }

    /// With one more publisher restriction on one vendor.
    pub fn restricted(mut self, purpose: u64, kind: u64, vendor: u16) -> Self {
        self.restrictions.push((purpose, kind, vec![(vendor, vendor)]));
        self
    }

    pub fn text(&self) -> String {
        let mut bits = Bits::default();
        bits.push(self.version, 6);
        bits.push(self.written, 36).push(self.written, 36); // created, updated
        bits.push(31, 12).push(1, 12).push(1, 6); // CMP, its version, its screen
        bits.push(4, 6).push(13, 6); // EN
        bits.push(200, 12).push(5, 6); // vendor list, policies
        bits.push(1, 1).push(0, 1); // service-specific, standard texts
        bits.flags(&self.features, 12).flags(&self.purposes, 24).flags(&self.interests, 24);
        bits.push(u64::from(self.purpose_one_treatment), 1);
        bits.push(3, 6).push(4, 6); // DE
        self.consents.write(&mut bits);
        self.vendor_interests.write(&mut bits);
        bits.push(self.restrictions.len() as u64, 12);
        for (purpose, kind, vendors) in &self.restrictions {
            bits.push(*purpose, 6).push(*kind, 2);
            write_ranges(vendors, &mut bits);
        }
        let mut text = bits.text();
        if let Some(disclosed) = &self.disclosed {
            let mut bits = Bits::default();
            disclosed.write(bits.push(1, 3));
            text = format!("{text}.{}", bits.text());
        }
        text
    }
}

/// A GPP string of these sections, in the order of their ids.
pub fn gpp(sections: &[(u16, &str)]) -> String {
    let mut bits = Bits::default();
    bits.push(3, 6).push(1, 6).push(sections.len() as u64, 12);
    let mut last = 0;
    let mut text = String::new();
    for (id, section) in sections {
        bits.push(0, 1);
        fibonacci(id - last, &mut bits);
        last = *id;
        text = format!("{text}~{section}");
    }
    format!("{}{text}", bits.text())
}

/// The number as a sum of Fibonacci numbers, the smallest first, and a one at its end.
fn fibonacci(mut number: u16, bits: &mut Bits) {
    let mut worths = vec![1, 2];
    while worths[worths.len() - 1] <= number {
        worths.push(worths[worths.len() - 1] + worths[worths.len() - 2]);
    }
    let mut digits = Vec::new();
    for worth in worths.into_iter().rev() {
        let fits = worth <= number;
        number -= if fits { worth } else { 0 };
        if fits || !digits.is_empty() {
            digits.push(fits);
        }
    }
    for digit in digits.iter().rev() {
        bits.push(u64::from(*digit), 1);
    }
    bits.push(1, 1);
}

/// A section for the United States: its version, its fields of two bits, and perhaps Global Privacy
/// Control. Fields come as digits; what is no digit is there to be read by people.
pub fn us(version: u64, fields: &str, gpc: Option<bool>) -> String {
    let mut bits = Bits::default();
    bits.push(version, 6);
    for digit in fields.chars().filter_map(|c| c.to_digit(4)) {
        bits.push(digit.into(), 2);
    }
    let Some(gpc) = gpc else { return bits.text() };
    let mut segment = Bits::default();
    segment.push(1, 2).push(u64::from(gpc), 1);
    format!("{}.{}", bits.text(), segment.text())
}
