//! Rendezvous hashing (Thaler and Ravishankar, 1996) exactly as pymemcache's `RendezvousHash` does it: the node with the
//! highest score murmur3("node-key") has the key; of equals, the greater name. A lookup looks at every node.

use super::murmur3::Murmur3;

/// A ring of nodes.
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    nodes: Vec<String>,
    seed: u32,
}

impl Rendezvous {
    /// A ring without nodes; `seed` is pymemcache's, 0 unless it was changed there.
    pub fn new(seed: u32) -> Rendezvous {
        Rendezvous { nodes: Vec::new(), seed }
    }

    /// Adds a node; one that is there already is not added again.
    pub fn add(&mut self, node: &str) {
        if !self.nodes.iter().any(|there| there == node) {
            self.nodes.push(node.into());
        }
    }

    /// Removes a node; whether it was there.
    pub fn remove(&mut self, node: &str) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|there| there != node);
        self.nodes.len() < before
    }

    /// The nodes, in the order in which they were added.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The node that has the key; `None` where there is no node. pymemcache hashes the key as Python writes it: a text
    /// key as it is, a bytes key `b'…'` with its quotes.
    pub fn get(&self, key: &[u8]) -> Option<&str> {
        let scored = self.nodes.iter().map(|node| {
            let mut hash = Murmur3::new(self.seed);
            hash.update(node.as_bytes());
            hash.update(b"-");
            hash.update(key);
            (hash.finish(), node.as_str())
        });
        scored.max().map(|(_, node)| node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(nodes: &[&str]) -> Rendezvous {
        let mut ring = Rendezvous::new(0);
        nodes.iter().for_each(|node| ring.add(node));
        ring
    }

    #[test]
    fn what_pymemcache_chooses() {
        let servers = ["127.0.0.1:11211", "127.0.0.1:11212", "127.0.0.1:11213"];
        let text =
            [("a", 3), ("b", 1), ("c", 2), ("foo", 3), ("bar", 1), ("baz", 2), ("key1", 2), ("key2", 3), ("user:2", 1)];
        let bytes =
            [("a", 1), ("b", 3), ("c", 1), ("foo", 2), ("bar", 1), ("baz", 1), ("key1", 3), ("key2", 2), ("user:1", 2)];
        for (key, place) in text {
            assert_eq!(ring(&servers).get(key.as_bytes()), Some(servers[place - 1]), "{key}");
        }
        for (key, place) in bytes {
            assert_eq!(ring(&servers).get(format!("b'{key}'").as_bytes()), Some(servers[place - 1]), "{key}");
        }
    }

    #[test]
    fn nodes_come_and_go() {
        let mut ring = ring(&["0", "1", "2"]);
        let choose =
            |ring: &Rendezvous| ["ok", "mykey", "wat", "lol"].map(|key| ring.get(key.as_bytes()).unwrap().to_string());
        assert_eq!(choose(&ring), ["0", "1", "2", "2"]);
        assert!(ring.remove("1") && !ring.remove("1"));
        assert_eq!(choose(&ring), ["0", "0", "2", "2"]);
        ring.add("3");
        ring.add("3");
        assert_eq!((choose(&ring), ring.nodes().len()), (["0", "0", "2", "3"].map(String::from), 3));
        assert_eq!(Rendezvous::new(0).get(b"k"), None);
    }

    #[test]
    fn a_node_that_leaves_moves_its_own_keys_alone() {
        let names: Vec<String> = (0..10).map(|node| node.to_string()).collect();
        let mut ring = ring(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let keys: Vec<String> = (0..1000).map(|key| key.to_string()).collect();
        let before: Vec<String> = keys.iter().map(|key| ring.get(key.as_bytes()).unwrap().into()).collect();
        ring.remove("9");
        let moved = keys.iter().zip(&before).filter(|(key, was)| ring.get(key.as_bytes()) != Some(was.as_str()));
        assert!(moved.clone().all(|(_, was)| was == "9") && moved.count() < 150);
    }
}
