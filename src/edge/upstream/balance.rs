//! Who is next: smooth weighted turns, and the fewest requests for the weight. Pure, and each worker's own.
//!
//! Promises: over a round of all weights each gets its weight's share, spread evenly; nobody who may be chosen is left
//! out for ever. The smooth turns are those of nginx: everyone gains its weight, who has most goes and pays the sum.

use std::cell::Cell;

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns(Vec<Turn>);

#[derive(Debug)]
struct Turn {
    weight: i64,
    due: Cell<i64>,
}

impl Turns {
    pub fn new(weights: impl Iterator<Item = u32>) -> Self {
        let turn = |weight: u32| Turn { weight: i64::from(weight.max(1)), due: Cell::new(0) };
        Self(weights.map(turn).collect())
    }

    /// The next of those that may be chosen. The turns of the others stand still.
    pub fn next(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let mut sum = 0;
        let mut next: Option<(usize, &Turn)> = None;
        for (at, turn) in self.0.iter().enumerate().filter(|(at, _)| may(*at)) {
            turn.due.set(turn.due.get().saturating_add(turn.weight));
            sum += turn.weight;
            if next.is_none_or(|(_, best)| turn.due.get() > best.due.get()) {
                next = Some((at, turn));
            }
        }
        let (at, turn) = next?;
        turn.due.set(turn.due.get().saturating_sub(sum));
        Some(at)
    }

    /// Of those that may be chosen the one with the smallest load for its weight; of several, whose turn it is.
    pub fn least(&self, load: impl Fn(usize) -> u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        // What others do meanwhile must not change the loads between two looks; the first look is remembered.
        let mut best: Option<(u128, u128)> = None;
        let ratio = |at: usize| {
            let turn = self.0.get(at)?;
            Some((u128::from(load(at)), u128::from(turn.weight.unsigned_abs())))
        };
        let less = |(a, of_a): (u128, u128), (b, of_b): (u128, u128)| a * of_b < b * of_a;
        for at in (0..self.0.len()).filter(|at| may(*at)) {
            let Some(found) = ratio(at) else { continue };
            if best.is_none_or(|best| less(found, best)) {
                best = Some(found);
            }
        }
        let best = best?;
        self.next(|at| may(at) && ratio(at).is_some_and(|found| !less(best, found)))
            .or_else(|| self.next(may))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(weights: &[u32]) -> Turns {
        Turns::new(weights.iter().copied())
    }

    #[test]
    fn turns_are_spread_as_the_weights_say() {
        let turns = turns(&[5, 1, 1]);
        let order: Vec<_> = (0..7).filter_map(|_| turns.next(|_| true)).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn nobody_is_chosen_who_may_not() {
        let turns = turns(&[1, 1]);
        assert_eq!(turns.next(|_| false), None);
        assert_eq!((turns.next(|at| at == 1), turns.next(|at| at == 1)), (Some(1), Some(1)));
        assert_eq!(turns.least(|_| 0, |_| false), None);
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_next() {
        let turns = turns(&[1, 4]);
        assert_eq!(turns.least(|at| [1, 3][at], |_| true), Some(1));
        assert_eq!(turns.least(|at| [1, 5][at], |_| true), Some(0));
        assert_eq!(turns.least(|at| [1, 5][at], |at| at == 1), Some(1));
    }

    proptest! {
        #[test]
        fn a_round_gives_each_its_weight(
            weights in proptest::collection::vec(1_u32..50, 1..8),
            rounds in 1_u32..4,
        ) {
            let turns = turns(&weights);
            let mut got = vec![0; weights.len()];
            for _ in 0..weights.iter().sum::<u32>() * rounds {
                got[turns.next(|_| true).expect("someone")] += 1;
            }
            let expected: Vec<u32> = weights.iter().map(|weight| weight * rounds).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn nobody_starves_whoever_comes_and_goes(
            weights in proptest::collection::vec(1_u32..20, 2..6),
            away in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let turns = turns(&weights);
            for away in away {
                // The first is always there.
                turns.next(|at| at == 0 || away >> at & 1 == 0);
            }
            let mut got = vec![0; weights.len()];
            // What stood still may be owed as much as one round for each that was away.
            for _ in 0..weights.iter().sum::<u32>() * 8 {
                got[turns.next(|_| true).expect("someone")] += 1;
            }
            prop_assert!(got.iter().all(|count| *count > 0), "{:?}", got);
        }

        #[test]
        fn loads_settle_by_weight_and_ties_go_in_turn(
            weights in proptest::collection::vec(1_u32..20, 1..6),
        ) {
            let turns = turns(&weights);
            let loads: Vec<Cell<u64>> = weights.iter().map(|_| Cell::new(0)).collect();
            let sum: u32 = weights.iter().sum();
            for _ in 0..sum * 10 {
                let at = turns.least(|at| loads[at].get(), |_| true).expect("someone");
                loads[at].set(loads[at].get() + 1);
            }
            for (load, weight) in loads.iter().zip(&weights) {
                let expected = i64::from(weight * 10);
                prop_assert!((load.get() as i64 - expected).abs() <= 2, "{} of {}", load.get(), expected);
            }
            // With nothing in flight the turns decide.
            let idle = Turns::new(weights.iter().copied());
            let mut got = vec![0; weights.len()];
            (0..sum).for_each(|_| got[idle.least(|_| 0, |_| true).expect("someone")] += 1);
            prop_assert_eq!(&got, &weights);
        }
    }
}
