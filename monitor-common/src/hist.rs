//! The bucket index of a duration, computed the same way in the kernel and in userspace.
//!
//! Bucket `i` at scale `s` covers `(base^i, base^(i+1)]` seconds with `base = 2^(2^-s)`: exactly the
//! bucket of an OpenTelemetry exponential histogram and, one higher, of a Prometheus native
//! histogram. Durations are integer nanoseconds. The index is exact for every `u64`: thresholds are
//! the integer parts of the bounds, normalised to 64 bits, and an integer lies above a bound exactly
//! when it is greater than the bound's integer part.
//!
//! There are no loops in the code, and tables instead of comparisons: it runs twice at every context
//! switch.

/// Scale of [`index`]: eight buckets to a doubling.
pub const SCALE: u32 = 3;

/// The index of 1 ns, the lowest that [`index`] returns.
pub const MIN_INDEX: i32 = -240;

/// The longest duration that is recorded: 2^27 s, over four years. Whatever is longer, or negative
/// and so very large as an unsigned number, is not a duration but an error, and is counted as one.
pub const MAX_NS: u64 = (1 << 27) * 1_000_000_000;

/// Slots of a histogram at [`SCALE`] that holds every duration from 0 to [`MAX_NS`].
pub const FINE_SLOTS: usize = slot(MAX_NS) + 1;

/// How much coarser the histogram of one thread is: scale 1, two buckets to a doubling.
pub const COARSE_SHIFT: u32 = 2;

/// Slots of a thread's histogram, an even number.
pub const COARSE_SLOTS: usize = (coarse(slot(MAX_NS)) + 2) & !1;

/// Bounds of one doubling, `floor(10^9 * 2^34 * 2^((k - 7) / 8))`, each with its top bit set.
const THRESHOLDS: [u64; 8] = [
    9_367_390_095_664_785_123,
    10_215_211_334_214_395_865,
    11_139_766_950_770_582_417,
    12_148_001_999_904_198_769,
    13_247_490_117_328_543_392,
    14_446_490_411_353_358_019,
    15_754_009_503_455_335_899,
    17_179_869_184_000_000_000,
];

/// The OpenTelemetry exponential bucket index at scale 3 of `ns` nanoseconds, which must not be 0: a
/// zero duration belongs into the zero bucket, which has no index.
#[inline(always)]
pub const fn index(ns: u64) -> i32 {
    position(ns) as i32 + MIN_INDEX
}

/// The slot of `ns` in a histogram at [`SCALE`]. Slot 0 is the zero bucket; `slot >> n` is the slot
/// at a scale lower by `n`, for `n` up to [`COARSE_SHIFT`].
#[inline(always)]
pub const fn slot(ns: u64) -> usize {
    if ns == 0 { 0 } else { position(ns) as usize + FIRST_SLOT }
}

/// The slot in a thread's coarser histogram for what is in `slot`.
#[inline(always)]
pub const fn coarse(slot: usize) -> usize {
    slot >> COARSE_SHIFT
}

/// The bucket index at scale `SCALE - shift` of a slot at that scale; `None` for the zero bucket.
pub const fn slot_index(slot: usize, shift: u32) -> Option<i32> {
    if slot == 0 {
        return None;
    }
    Some(slot as i32 - (FIRST_SLOT >> shift) as i32 + (MIN_INDEX >> shift))
}

/// Where the slots begin that have an index; a multiple of `1 << COARSE_SHIFT`, so that the zero
/// bucket stays alone in slot 0 at every scale.
const FIRST_SLOT: usize = 1 << COARSE_SHIFT;

/// [`index`] counted from [`MIN_INDEX`].
#[inline(always)]
const fn position(ns: u64) -> u64 {
    let octave = octave(ns);
    let normalised = ns << (63 - octave);
    let slice = &SLICES[(normalised >> SLICE_SHIFT) as usize];
    octave * 8 + slice.below + (normalised > slice.next) as u64
}

/// The place of the highest set bit. BPF has no instruction for it.
#[inline(always)]
const fn octave(ns: u64) -> u64 {
    let (rest, high) = if ns >> 32 != 0 { (ns >> 32, 32) } else { (ns, 0) };
    let (rest, middle) = if rest >> 16 != 0 { (rest >> 16, 16) } else { (rest, 0) };
    let (rest, low) = if rest >> 8 != 0 { (rest >> 8, 8) } else { (rest, 0) };
    high + middle + low + HIGHEST_BIT[(rest & 0xff) as usize] as u64
}

/// The place of the highest set bit of a byte.
static HIGHEST_BIT: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 2;
    while byte < 256 {
        table[byte] = table[byte / 2] + 1;
        byte += 1;
    }
    table
};

/// A sixteenth of an octave: so thin that at most one threshold lies in it.
#[derive(Clone, Copy)]
struct Slice {
    /// How many thresholds lie below it.
    below: u64,
    /// The first that does not.
    next: u64,
}

/// The top bits of a normalised value, of which the highest is 1, are the place of its slice. Few
/// entries, so that the table stays in the cache.
const SLICE_SHIFT: u32 = 59;

static SLICES: [Slice; 32] = {
    let mut table = [Slice { below: 0, next: u64::MAX }; 32];
    let mut slice = 16;
    while slice < 32 {
        let mut k = 0;
        while k < THRESHOLDS.len() && THRESHOLDS[k] < (slice as u64) << SLICE_SHIFT {
            k += 1;
        }
        table[slice].below = k as u64;
        if k < THRESHOLDS.len() {
            table[slice].next = THRESHOLDS[k];
        }
        slice += 1;
    }
    table
};

const _: () = assert!(index(1) == MIN_INDEX);
const _: () = assert!(MIN_INDEX % (1 << COARSE_SHIFT) == 0);
