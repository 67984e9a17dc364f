//! The items: a table by key and a list from the newest to the oldest, with their size in bytes. It knows no protocol,
//! no time and no policy; `store` has those.

use std::collections::HashMap;
use std::rc::Rc;

/// What memcached's header of an item takes; sizes are counted as it counts them.
const HEADER: usize = 48;

/// The end of the list.
const NONE: u32 = u32::MAX;

/// A stored value and all that belongs to it.
#[derive(Clone, Debug)]
pub struct Item {
    pub key: Rc<[u8]>,
    pub value: Vec<u8>,
    pub flags: u32,
    /// Unix time; 0 is never.
    pub expires: i64,
    /// When it was stored or last read.
    pub time: i64,
    pub cas: u64,
    /// It has been read since it was stored.
    pub fetched: bool,
    /// Meta: it was marked stale.
    pub stale: bool,
    /// Meta: somebody has won the right to fill it anew.
    pub won: bool,
    /// Meta: its key was sent in base64, and is to be sent so.
    pub key_binary: bool,
}

/// Where an item is, until it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id(u32);

struct Node {
    item: Item,
    newer: u32,
    older: u32,
}

/// All items of a server.
pub struct Items {
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    index: HashMap<Rc<[u8]>, u32>,
    newest: u32,
    oldest: u32,
    bytes: usize,
    with_cas: bool,
}

impl Items {
    pub fn new(with_cas: bool) -> Items {
        let index = HashMap::new();
        Items { nodes: Vec::new(), free: Vec::new(), index, newest: NONE, oldest: NONE, bytes: 0, with_cas }
    }

    /// How many bytes an item takes, by memcached's reckoning.
    pub fn size(&self, key: usize, flags: u32, value: usize) -> usize {
        HEADER + key + 1 + if flags == 0 { 0 } else { 4 } + value + 2 + if self.with_cas { 8 } else { 0 }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn find(&self, key: &[u8]) -> Option<Id> {
        self.index.get(key).copied().map(Id)
    }

    pub fn oldest(&self) -> Option<Id> {
        (self.oldest != NONE).then_some(Id(self.oldest))
    }

    /// From the newest to the oldest.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        let mut next = self.newest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?.as_ref()?;
            next = node.older;
            Some(&node.item)
        })
    }

    pub fn get(&self, id: Id) -> &Item {
        &self.node(id.0).item
    }

    /// For everything but what its size depends on: the key, the value, the flags.
    pub fn get_mut(&mut self, id: Id) -> &mut Item {
        &mut self.node_mut(id.0).item
    }

    /// Puts another value into an item, and counts its bytes anew.
    pub fn set_value(&mut self, id: Id, value: Vec<u8>) {
        let old = self.size_of(self.get(id));
        self.get_mut(id).value = value;
        self.bytes = self.bytes - old + self.size_of(self.get(id));
    }

    /// Gives an item other flags, and counts its bytes anew.
    pub fn set_flags(&mut self, id: Id, flags: u32) {
        let old = self.size_of(self.get(id));
        self.get_mut(id).flags = flags;
        self.bytes = self.bytes - old + self.size_of(self.get(id));
    }

    /// Adds an item, as the newest. There must be none with its key.
    pub fn insert(&mut self, item: Item) -> Id {
        self.bytes += self.size_of(&item);
        let key = item.key.clone();
        let node = Some(Node { item, newer: NONE, older: NONE });
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.index.insert(key, place);
        self.link(place);
        Id(place)
    }

    pub fn remove(&mut self, id: Id) {
        self.unlink(id.0);
        if let Some(node) = self.nodes[id.0 as usize].take() {
            self.bytes -= self.size_of(&node.item);
            self.index.remove(&node.item.key);
            self.free.push(id.0);
        }
    }

    /// Makes an item the newest.
    pub fn renew(&mut self, id: Id) {
        if self.newest != id.0 {
            self.unlink(id.0);
            self.link(id.0);
        }
    }

    fn size_of(&self, item: &Item) -> usize {
        self.size(item.key.len(), item.flags, item.value.len())
    }

    fn link(&mut self, place: u32) {
        let second = self.newest;
        let node = self.node_mut(place);
        (node.newer, node.older) = (NONE, second);
        match second {
            NONE => self.oldest = place,
            second => self.node_mut(second).newer = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = *self.node(place);
        match newer {
            NONE => self.newest = older,
            newer => self.node_mut(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.node_mut(older).newer = newer,
        }
    }

    fn node(&self, place: u32) -> &Node {
        self.nodes[place as usize].as_ref().expect("an Id is not used after its item is removed")
    }

    fn node_mut(&mut self, place: u32) -> &mut Node {
        self.nodes[place as usize].as_mut().expect("an Id is not used after its item is removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str) -> Item {
        let key = Rc::from(key.as_bytes());
        let value = b"x".to_vec();
        let flag = false;
        Item {
            key,
            value,
            flags: 0,
            expires: 0,
            time: 0,
            cas: 1,
            fetched: flag,
            stale: flag,
            won: flag,
            key_binary: flag,
        }
    }

    fn order(items: &Items) -> String {
        items.iter().map(|item| String::from_utf8_lossy(&item.key).into_owned()).collect()
    }

    #[test]
    fn the_list_keeps_its_order_and_the_bytes_their_sum() {
        let mut items = Items::new(true);
        let [a, b, c] = ["a", "b", "c"].map(|key| items.insert(item(key)));
        assert_eq!((order(&items).as_str(), items.len(), items.bytes()), ("cba", 3, 3 * 61));
        items.renew(a);
        items.renew(a);
        assert_eq!((order(&items).as_str(), items.oldest()), ("acb", Some(b)));
        items.remove(c);
        assert_eq!((order(&items).as_str(), items.find(b"c")), ("ab", None));
        items.set_value(b, vec![0; 11]);
        assert_eq!(items.bytes(), 61 + 71);
        items.remove(b);
        items.remove(a);
        assert_eq!((order(&items).as_str(), items.bytes(), items.oldest()), ("", 0, None));
        items.insert(item("d"));
        assert_eq!(order(&items), "d");
    }
}
