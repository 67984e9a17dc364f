//! Of what type the values of the server's statistics are, by their names: pymemcache's table, for bindings that give
//! them as numbers.

/// How the value of a statistic is read. The numbers are those of the C ABI (`bmemc_stat_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum StatType {
    /// A whole number in decimal digits, or text where it is none: what a name that is not in the table has.
    Integer = 0,
    /// Text, whatever it looks like.
    Text = 1,
    /// A number with a fraction.
    Float = 2,
    /// Seconds with a fraction, in which old servers write a colon for the point.
    Seconds = 3,
    /// A whole number that is a truth: zero is false.
    Switch = 4,
    /// The word `yes` is true; anything else is false.
    YesNo = 5,
    /// A whole number in octal digits.
    Octal = 6,
}

impl StatType {
    /// The type of the statistic of this name.
    pub fn of(name: &[u8]) -> StatType {
        match name {
            b"version" | b"inter" | b"stat_key_prefix" => StatType::Text,
            b"growth_factor" => StatType::Float,
            b"rusage_user" | b"rusage_system" => StatType::Seconds,
            b"hash_is_expanding"
            | b"slab_reassign_running"
            | b"detail_enabled"
            | b"cas_enabled"
            | b"maxconns_fast"
            | b"slab_reassign"
            | b"slab_automove" => StatType::Switch,
            b"auth_enabled_sasl" => StatType::YesNo,
            b"umask" => StatType::Octal,
            _ => StatType::Integer,
        }
    }
}
