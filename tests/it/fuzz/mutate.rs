//! Inputs made of others: the same seed, inputs and words give the same bytes on every machine.

/// Longer inputs are cut.
const INPUT_MAX: usize = 4096;

/// Changes made to one input at most.
const STEPS_MAX: u64 = 6;

pub struct Mutator {
    state: u64,
}

impl Mutator {
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds are far apart at once.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is above 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn of<'a>(&mut self, all: &[&'a [u8]]) -> &'a [u8] {
        if all.is_empty() { b"" } else { all[self.below(all.len())] }
    }

    /// Two places, in order, not far apart.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        let most = (length - from).min(64);
        from..from + self.below(most + 1)
    }

    /// One of the inputs, changed a few times.
    pub fn mutate(mut self, inputs: &[&[u8]], words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.of(inputs).to_vec();
        for _ in 0..=self.next() % STEPS_MAX {
            self.change(&mut bytes, inputs, words);
            bytes.truncate(INPUT_MAX);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[&[u8]], words: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        match self.next() % 8 {
            0 => {
                let bit = 1 << (self.next() % 8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => {
                let new = self.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = new;
                }
            }
            2 => bytes.insert(at, self.byte()),
            3 | 4 => drop(bytes.splice(at..at, self.of(words).iter().copied())),
            5 => drop(bytes.drain(self.range(bytes.len()))),
            6 => {
                let other = self.of(inputs);
                let (from, to) = (self.range(other.len()), self.range(bytes.len()));
                bytes.splice(to, other[from].iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
}
