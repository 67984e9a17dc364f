//! The receive buffer of a connection: bytes come in at one end and are taken at the other.

/// Bytes that are received at once. Longer values go straight to their destination.
pub const CAPACITY: usize = 16 * 1024;

/// A buffer of fixed size.
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub fn new() -> Buffer {
        Buffer { memory: vec![0; CAPACITY], start: 0, end: 0 }
    }

    /// What was received and not yet taken.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Drops the first `count` bytes, which have been taken.
    #[inline(always)]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// All the room there is behind the bytes, which are moved to the front first.
    #[inline(always)]
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.move_to_front();
        }
        &mut self.memory[self.end..]
    }

    #[cold]
    fn move_to_front(&mut self) {
        self.memory.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Goes on in other memory, and leaves its own there; unless that is too small for the bytes that it holds.
    pub fn exchange(&mut self, memory: &mut Vec<u8>) {
        let Some(front) = memory.get_mut(..self.len()) else { return };
        front.copy_from_slice(&self.memory[self.start..self.end]);
        std::mem::swap(&mut self.memory, memory);
        (self.start, self.end) = (0, self.len());
    }

    /// `count` bytes were received into [`Buffer::spare`].
    #[inline(always)]
    pub fn received(&mut self, count: usize) {
        self.end = (self.end + count).min(self.memory.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(bytes: &[u8], taken: usize) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.spare()[..bytes.len()].copy_from_slice(bytes);
        buffer.received(bytes.len());
        buffer.consume(taken);
        buffer
    }

    #[test]
    fn it_goes_on_in_larger_memory_and_comes_back() {
        let mut buffer = holding(b"taken, and left", 11);
        let mut other = vec![0; 4 * CAPACITY];
        buffer.exchange(&mut other);
        assert_eq!((buffer.bytes(), other.len()), (&b"left"[..], CAPACITY));
        assert_eq!(buffer.spare().len(), 4 * CAPACITY - 4);
        buffer.received(CAPACITY);
        buffer.exchange(&mut other);
        assert_eq!((buffer.len(), other.len()), (CAPACITY + 4, CAPACITY), "more than the smaller memory takes");
        buffer.consume(5);
        buffer.exchange(&mut other);
        assert_eq!((buffer.len(), other.len()), (CAPACITY - 1, 4 * CAPACITY));
        assert_eq!(buffer.spare().len(), 1);
    }
}
