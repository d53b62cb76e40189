//! A deflate block with the fixed codes, bit by bit (RFC 1951, 3.2.5 and 3.2.6).

/// A code and how many bits it has, first bit lowest.
type Code = (u16, u32);

/// The fixed codes of literals and lengths.
const SYMBOLS: [Code; 288] = symbols();
/// For each length, less 3: its symbol, extra bits included.
const LENGTHS: [(u32, u32); 256] = lengths();
/// The code of byte 0 in each of eight bytes.
const FIRST_CODES: u64 = 0x3030_3030_3030_3030;
/// The lower half of 64 bits.
const LOW: u64 = 0xffff_ffff;
/// What no byte of ASCII has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
/// The symbol that ends a block.
const END: usize = 256;

/// Bits on their way into bytes.
pub(super) struct Bits {
    out: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    /// Goes on behind `out`.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            pending: 0,
            count: 0,
        }
    }

    /// The header of a block that is the last one and uses the fixed codes.
    pub(super) fn begin_last_block(&mut self) {
        self.put(0b011, 3);
    }

    /// Bytes as they are.
    pub(super) fn literals(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let eight = u64::from_le_bytes(*eight);
            if eight & NOT_ASCII != 0 {
                eight.to_le_bytes().iter().for_each(|it| self.literal(*it));
                continue;
            }
            // The code of each is 8 bits, the byte plus 0x30, highest bit first.
            let codes = (eight + FIRST_CODES).reverse_bits().swap_bytes();
            self.put(codes & LOW, 32);
            self.put(codes >> 32, 32);
        }
        for byte in rest {
            self.literal(*byte);
        }
    }

    /// `length` bytes, 3 to 258, that stood `distance` bytes before, 1 to 32768.
    pub(super) fn repeat(&mut self, length: usize, distance: usize) {
        let (code, bits) = LENGTHS[length - 3];
        let from = u32::try_from(distance - 1).unwrap_or(u32::MAX);
        // Codes come in pairs, each pair with one bit more behind it: the two highest bits name the code.
        let (distance, extra) = if from < 4 {
            (from, 0)
        } else {
            let extra = from.ilog2() - 1;
            (2 * extra + (from >> extra), extra)
        };
        let rest = from & ((1 << extra) - 1);
        let distance = distance.reverse_bits() >> (32 - 5) | rest << 5;
        self.put((code | distance << bits).into(), bits + 5 + extra);
    }

    /// Ends the block, and the last byte with it; returns the bytes.
    pub(super) fn end(mut self) -> Vec<u8> {
        let (code, bits) = SYMBOLS[END];
        self.put(code.into(), bits);
        let bytes = self.count.div_ceil(8) as usize;
        self.out
            .extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        self.out
    }

    fn literal(&mut self, byte: u8) {
        let (code, bits) = SYMBOLS[usize::from(byte)];
        self.put(code.into(), bits);
    }

    /// At most 32 bits.
    #[inline]
    fn put(&mut self, bits: u64, count: u32) {
        self.pending |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.out.extend_from_slice(&self.pending.to_le_bytes()[..4]);
            self.pending >>= 32;
            self.count -= 32;
        }
    }
}

const fn symbols() -> [Code; 288] {
    let mut codes = [(0, 0); 288];
    let mut symbol = 0_u16;
    while symbol < 288 {
        let (code, bits) = match symbol {
            0..144 => (0b0011_0000 + symbol, 8),
            144..256 => (0b1_1001_0000 + symbol - 144, 9),
            256..280 => (symbol - 256, 7),
            _ => (0b1100_0000 + symbol - 280, 8),
        };
        codes[symbol as usize] = (code.reverse_bits() >> (16 - bits), bits);
        symbol += 1;
    }
    codes
}

const fn lengths() -> [(u32, u32); 256] {
    let mut codes = [(0, 0); 256];
    let mut above = 0_u32;
    while above < 256 {
        // As with distances, but in groups of four; the longest has a symbol of its own.
        let (symbol, extra) = if above < 8 {
            (257 + above, 0)
        } else if above == 255 {
            (285, 0)
        } else {
            let extra = above.ilog2() - 2;
            (257 + 4 * extra + (above >> extra), extra)
        };
        let (code, bits) = SYMBOLS[symbol as usize];
        let rest = above & ((1 << extra) - 1);
        codes[above as usize] = (code as u32 | rest << bits, bits + extra);
        above += 1;
    }
    codes
}
