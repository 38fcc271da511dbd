//! The only source of chance: splitmix64 from a seed, and the ids drawn from it.

#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 up to, but without, `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub fn pick<'a, T>(&mut self, options: &'a [T]) -> &'a T {
        &options[self.below(options.len() as u64) as usize]
    }

    pub fn uuid(&mut self) -> String {
        uuid(self.next(), self.next())
    }
}

/// An id that depends on the text alone, for things Railway derives rather than stores.
pub fn uuid_of(text: &str) -> String {
    let first = hash(text);
    uuid(first, mix(first))
}

/// FNV-1a, finished with splitmix's mixer so that similar texts end up far apart.
pub fn hash(text: &str) -> u64 {
    let folded = text.bytes().fold(0xCBF2_9CE4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    mix(folded)
}

/// A stable stand-in for the digest that a registry would report.
pub fn digest_of(text: &str) -> String {
    let mut random = Random::new(hash(text));
    let words: Vec<String> = (0..4).map(|_| format!("{:016x}", random.next())).collect();
    format!("sha256:{}", words.concat())
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFF,
        0x8000 | ((low >> 48) & 0x3FFF),
        low & 0xFFFF_FFFF_FFFF
    )
}
