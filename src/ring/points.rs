//! Points of servers on a circle of numbers, and the three ways in which clients look for the point that a hash belongs to.

/// Points in ascending order, each with its server; there is one at least when a place is asked for.
#[derive(Debug)]
pub struct Points<T> {
    numbers: Vec<T>,
    owners: Vec<u32>,
}

impl<T: Ord + Copy> Points<T> {
    /// Points of servers; of equal ones the server of the lowest index comes first.
    pub fn new(mut points: Vec<(T, u32)>) -> Points<T> {
        points.sort_unstable();
        let (numbers, owners) = points.into_iter().unzip();
        Points { numbers, owners }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The place of the first point at or after the hash; past the last one comes the first.
    pub fn at_or_after(&self, hash: T) -> usize {
        self.wrapped(self.numbers.partition_point(|point| *point < hash))
    }

    /// The place of the first point after the hash; past the last one comes the first.
    pub fn after(&self, hash: T) -> usize {
        self.wrapped(self.numbers.partition_point(|point| *point <= hash))
    }

    /// The place of the last point at or before the hash; before the first one comes the last.
    pub fn at_or_before(&self, hash: T) -> usize {
        let after = self.numbers.partition_point(|point| *point <= hash);
        after.checked_sub(1).unwrap_or(self.len().saturating_sub(1))
    }

    /// The place after this one.
    pub fn next(&self, place: usize) -> usize {
        self.wrapped(place + 1)
    }

    /// The server of a point.
    pub fn owner(&self, place: usize) -> usize {
        self.owners.get(place).map_or(0, |owner| *owner as usize)
    }

    fn wrapped(&self, place: usize) -> usize {
        if place == self.len() {
            0
        } else {
            place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_finds_its_point_in_each_of_three_ways() {
        let points = Points::new(vec![(30u32, 2), (10, 0), (20, 5), (20, 1)]);
        let cases = [(5, 0, 0, 3), (10, 0, 1, 0), (15, 1, 1, 0), (20, 1, 3, 2), (30, 3, 0, 3), (31, 0, 0, 3)];
        for (hash, at_or_after, after, at_or_before) in cases {
            assert_eq!(points.at_or_after(hash), at_or_after, "{hash}");
            assert_eq!(points.after(hash), after, "{hash}");
            assert_eq!(points.at_or_before(hash), at_or_before, "{hash}");
        }
        assert_eq!([0, 1, 2, 3].map(|place| points.owner(place)), [0, 1, 5, 2]);
        assert_eq!((points.next(3), points.next(0)), (0, 1));
    }
}
