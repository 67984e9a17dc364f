//! Profiles: the options that have another default where a client is to be as one of the two Python clients.

/// Whose defaults a client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    None,
    Bmemcached,
    Pymemcache,
}

/// Option, and its value in python-binary-memcached and in pymemcache.
const VALUES: [(&str, &str, &str); 15] = [
    ("protocol", "binary", "text"),
    ("timeout_ms", "3000", "86400000"),
    ("connect_timeout_ms", "3000", "86400000"),
    ("connections_idle_ms", "0", "0"),
    ("reconnect_delay_ms", "5000", "0"),
    ("no_delay", "false", "false"),
    ("mode", "replicated", "auto"),
    ("distribution", "bmemcached", "rendezvous"),
    ("failover", "none", "pymemcache"),
    ("codec", "bmemcached", "pymemcache"),
    ("compression", "true", "false"),
    ("no_reply", "false", "true"),
    ("counter_create", "true", "false"),
    ("counter_ttl", "1000000", "0"),
    ("failure_is_miss", "true", "false"),
];

impl Profile {
    /// What an option is by default in this profile, if it is something else than without one.
    pub fn value_of(self, option: &str) -> Option<&'static str> {
        let (_, bmemcached, pymemcache) = VALUES.iter().find(|(name, ..)| *name == option)?;
        match self {
            Profile::None => None,
            Profile::Bmemcached => Some(bmemcached),
            Profile::Pymemcache => Some(pymemcache),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, TABLE};
    use super::*;

    #[test]
    fn every_value_is_one_that_its_option_accepts() {
        for (name, bmemcached, pymemcache) in VALUES {
            assert!(TABLE.iter().any(|spec| spec.name == name), "{name}");
            for value in [bmemcached, pymemcache] {
                Options::new().set(name, value).unwrap();
            }
        }
    }

    #[test]
    fn what_is_set_wins_whatever_the_order() {
        let made = |settings: &[(&str, &str)]| {
            let mut options = Options::new();
            settings.iter().for_each(|(name, value)| options.set(name, value).unwrap());
            (options.timeout_ms, options.no_reply, options.counter_ttl)
        };
        assert_eq!(made(&[("profile", "bmemcached")]), (3000, false, 1_000_000));
        assert_eq!(made(&[("profile", "pymemcache")]), (86_400_000, true, 0));
        assert_eq!(made(&[("timeout_ms", "7"), ("profile", "pymemcache")]), (7, true, 0));
        assert_eq!(made(&[("profile", "pymemcache"), ("no_reply", "false")]), (86_400_000, false, 0));
        assert_eq!(made(&[("profile", "bmemcached"), ("profile", "none")]), (1000, false, 0));
    }
}
