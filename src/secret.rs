//! Secret: text that is shown to nobody, a password. It has no `Display`, its `Debug` hides it, and its memory is wiped
//! when it is dropped.

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// See the module.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_string()))
    }

    /// The text itself, for those who must say it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_empty() { "Secret(empty)" } else { "Secret(hidden)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_it() {
        assert_eq!(format!("{:?} {:?}", Secret::new("hunter2"), Secret::default()), "Secret(hidden) Secret(empty)");
    }
}
