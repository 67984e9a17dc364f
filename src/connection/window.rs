//! The window: how many batches may be in flight on a connection. Few in flight make each of them larger, which is most
//! of the win on a short way; on a long one, waiting for a batch to end would cost a round trip more.

/// Below this round trip, in nanoseconds, large batches win; above the second, not waiting does.
const SHORT_ROUND_TRIP: u64 = 50_000;
const LONG_ROUND_TRIP: u64 = 200_000;

/// The widest window.
pub const WIDEST: u32 = 32;

/// Whether a reply comes so soon that it is worth waiting for awake, and that a large batch is worth a moment.
pub fn is_short(round_trip: u64) -> bool {
    round_trip < LONG_ROUND_TRIP
}

/// How many batches may be in flight where a round trip takes so many nanoseconds.
pub fn window(round_trip: u64) -> u32 {
    match round_trip {
        ..SHORT_ROUND_TRIP => 2,
        SHORT_ROUND_TRIP..LONG_ROUND_TRIP => 4,
        _ => WIDEST,
    }
}
