//! What a ring can be told beside its kind and its servers.

use super::chooser::Chooser;
use super::hash_tag::HashTag;
use super::key_hash::KeyHash;
use crate::secret::Secret;

/// What a ring can be told beside its kind and its servers. The default is what the client that the ring matches does.
#[derive(Clone, Debug, Default)]
pub struct RingSettings {
    /// How keys are hashed; `None`: as the kind of ring does it.
    pub key_hash: Option<KeyHash>,
    /// Where it is set, only the part of a key between these two characters is hashed.
    pub hash_tag: Option<HashTag>,
    /// Which kind of Python string keys stand for.
    pub key_form: KeyForm,
    /// pymemcache's seed of ring `rendezvous`.
    pub seed: u32,
    /// User and password, which ring `bmemcached` makes a part of the names that it makes.
    pub credentials: Option<(String, Secret)>,
    /// The weight that stands for mcrouter's 1.0 in ring `weighted_ch3`; 0: the largest one.
    pub weight_unit: u32,
    /// A function that chooses instead of the ring; it sees whole keys, whatever `hash_tag` says.
    pub chooser: Option<Chooser>,
}

/// Which kind of Python string a key stands for: Python clients format a key into what they hash, and a bytes object is
/// written `b'…'` then, so that "k" and b"k" go to different servers. Other rings hash a key's bytes whatever this says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum KeyForm {
    /// `str`.
    #[default]
    Text,
    /// `bytes`.
    Bytes,
}

impl KeyForm {
    /// What the option `key_form` accepts, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["text", "bytes"];

    /// The form of this name.
    pub fn parse(name: &str) -> Option<KeyForm> {
        match name {
            "text" => Some(KeyForm::Text),
            "bytes" => Some(KeyForm::Bytes),
            _ => None,
        }
    }
}
