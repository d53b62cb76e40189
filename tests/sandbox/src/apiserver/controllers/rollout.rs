//! The arithmetic of a rollout: how many pods each replica set should have next.

/// What a deployment asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// Pods in the end.
    pub replicas: usize,
    /// Pods above that meanwhile.
    pub max_surge: usize,
    /// Pods below that meanwhile.
    pub max_unavailable: usize,
    /// Whether all old pods go before the first new one comes.
    pub recreate: bool,
}

/// A replica set, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Pods it is told to have.
    pub wanted: usize,
    /// Pods it has.
    pub present: usize,
    /// Pods of it that serve.
    pub available: usize,
}

/// The pods that each replica set should be told to have; `current` is the one with the new template.
pub(super) fn step(numbers: &Numbers, parts: &[Part], current: usize) -> Vec<usize> {
    let mut wanted: Vec<usize> = parts.iter().map(|part| part.wanted).collect();
    let old = || (0..parts.len()).filter(|index| *index != current);
    if numbers.recreate {
        let gone = old().all(|index| parts[index].present == 0 && parts[index].wanted == 0);
        for index in old() {
            wanted[index] = 0;
        }
        if gone {
            wanted[current] = numbers.replicas;
        }
        return wanted;
    }

    let total: usize = wanted.iter().sum();
    if wanted[current] >= numbers.replicas {
        wanted[current] = numbers.replicas;
    } else {
        let room = (numbers.replicas + numbers.max_surge).saturating_sub(total);
        wanted[current] += room.min(numbers.replicas - wanted[current]);
    }

    // Pods of the old ones may go as far as enough pods serve without them.
    let must_serve = numbers.replicas.saturating_sub(numbers.max_unavailable);
    let starting = parts[current]
        .wanted
        .saturating_sub(parts[current].available);
    let mut spare = total.saturating_sub(must_serve + starting);
    for index in old() {
        // Those that do not serve go first: nobody misses them.
        let idle = wanted[index]
            .saturating_sub(parts[index].available)
            .min(spare);
        wanted[index] -= idle;
        spare -= idle;
    }
    let serving: usize = parts.iter().map(|part| part.available).sum();
    let mut spare = serving.saturating_sub(must_serve);
    for index in old() {
        let less = wanted[index].min(spare);
        wanted[index] -= less;
        spare -= less;
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: Numbers = Numbers {
        replicas: 4,
        max_surge: 1,
        max_unavailable: 1,
        recreate: false,
    };

    fn part(wanted: usize, available: usize) -> Part {
        Part {
            wanted,
            present: wanted,
            available,
        }
    }

    #[test]
    fn rolls_within_surge_and_unavailability() {
        let (mut old, mut new) = (part(4, 4), part(0, 0));
        let mut steps = 0;
        while old.wanted > 0 || new.available < 4 {
            let wanted = step(&FOUR, &[old, new], 1);
            (old.wanted, new.wanted) = (wanted[0], wanted[1]);
            assert!(old.wanted + new.wanted <= 5, "{old:?} {new:?}");
            // Pods go at once and come one by one.
            old.available = old.available.min(old.wanted);
            assert!(old.available + new.available >= 3, "{old:?} {new:?}");
            new.available = new.wanted.min(new.available + 1);
            steps += 1;
            assert!(steps < 50);
        }
    }

    #[test]
    fn stops_where_new_pods_do_not_start() {
        let (mut old, mut new) = (part(4, 4), part(0, 0));
        for _ in 0..10 {
            let wanted = step(&FOUR, &[old, new], 1);
            (old, new) = (part(wanted[0], wanted[0]), part(wanted[1], 0));
        }
        assert_eq!((old.wanted, new.wanted), (3, 2));
    }

    #[test]
    fn scales_a_single_set_at_once() {
        assert_eq!(step(&FOUR, &[part(1, 1)], 0), [4]);
        assert_eq!(step(&FOUR, &[part(9, 9)], 0), [4]);
    }

    #[test]
    fn recreates_after_the_last_old_pod() {
        let numbers = Numbers {
            recreate: true,
            ..FOUR
        };
        assert_eq!(step(&numbers, &[part(4, 4), part(0, 0)], 1), [0, 0]);
        let ending = Part {
            wanted: 0,
            present: 2,
            available: 0,
        };
        assert_eq!(step(&numbers, &[ending, part(0, 0)], 1), [0, 0]);
        assert_eq!(step(&numbers, &[part(0, 0), part(0, 0)], 1), [0, 4]);
    }
}
