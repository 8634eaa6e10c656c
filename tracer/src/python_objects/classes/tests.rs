use super::{
    NotFound, Pools, Ranges,
    arena::ENTRY,
    geometry::GEOMETRIES,
    testing::{ARRAY, DATA, Fake, NOW},
};
use crate::ledger::ClassSample;

fn find(fake: &Fake) -> Result<Pools, NotFound> {
    Pools::find(fake, &[DATA])
}

fn read(fake: &Fake) -> ClassSample {
    find(fake).expect("they are there").read(fake).expect("they are still there").sample
}

/// Classes with blocks, and how many.
fn classes(sample: &ClassSample) -> Vec<(usize, u64)> {
    sample.blocks.iter().copied().enumerate().filter(|(_, blocks)| *blocks > 0).collect()
}

#[test]
fn the_blocks_of_all_pools_are_added_up_by_class() {
    for geometry in GEOMETRIES {
        let first: &[_] = &[(2, 80), (2, 7), (31, 3), (9, 0)];
        let fake = Fake::new(geometry, &[(0, first), (5, &[(31, 4)])]);
        let sample = read(&fake);
        assert_eq!((classes(&sample), sample.unread_pools), (vec![(2, 87), (31, 7)], 0));
    }
}

/// Some variables lead into the middle of the array; which entry that is, the arena's pools say.
#[test]
fn the_array_is_found_by_any_of_its_entries() {
    let mut fake = Fake::new(NOW, &[(3, &[(0, 9)]), (7, &[(1, 5)])]);
    fake.put(DATA.0 + 0x80, ARRAY + 7 * ENTRY as u64);
    assert_eq!(classes(&read(&fake)), [(0, 9), (1, 5)]);
    // But no variable has its beginning: that is not how it is.
    fake.put(DATA.0 + 0x100, 0);
    assert_eq!(find(&fake).err(), Some(NotFound::Nothing));
}

/// As it is enlarged it moves. The list of usable arenas begins somewhere else then.
#[test]
fn an_array_that_moves_is_followed() {
    let mut fake = Fake::new(NOW, &[(0, &[(4, 4)])]);
    fake.put(DATA.0 + 0x180, ARRAY);
    let mut pools = find(&fake).expect("they are there");
    let moved = 0x7100_0000;
    fake.map(moved, 64 * ENTRY);
    fake.put_arena(moved, 0, &[(4, 5)]);
    fake.put_arena(moved, 20, &[(6, 6)]);
    fake.put(DATA.0 + 0x100, moved);
    fake.put(DATA.0 + 0x180, moved + 20 * ENTRY as u64);
    assert_eq!(pools.read(&fake).map(|it| classes(&it.sample)), Some(vec![(4, 5), (6, 6)]));
    // A variable that has led elsewhere once is not asked again.
    fake.put(DATA.0 + 0x100, 0);
    assert_eq!(pools.read(&fake), None);
}

/// How long the array is, nothing says.
#[test]
fn what_follows_the_array_is_not_counted() {
    let mut fake = Fake::new(NOW, &[(0, &[(4, 4)])]);
    // An entry of an array that was here before: its arena belongs to another entry now.
    for offset in [0, 8, 16] {
        let mut word = [0; 8];
        super::View::read(&fake, ARRAY + offset, &mut word);
        fake.put(ARRAY + 17 * ENTRY as u64 + offset, u64::from_le_bytes(word));
    }
    assert_eq!(classes(&read(&fake)), [(4, 4)]);
}

#[test]
fn a_pool_that_is_being_changed_is_told() {
    let mut fake = Fake::new(NOW, &[(0, &[(4, 4), (5, 5), (6, 0)])]);
    let mut pools = find(&fake).expect("they are there");
    // What has no blocks in use needs no class.
    fake.put_half(fake.pool(0, 2) + 36, 0xffff);
    assert_eq!(pools.read(&fake).map(|it| it.sample.unread_pools), Some(0));
    fake.put_half(fake.pool(0, 1) + 36, 0xffff);
    let sample = pools.read(&fake).expect("they are still there").sample;
    assert_eq!((classes(&sample), sample.unread_pools), (vec![(4, 4)], 1));
    // More than fit.
    fake.put_half(fake.pool(0, 1) + 36, 5);
    fake.put_half(fake.pool(0, 1), 171);
    assert_eq!(pools.read(&fake).map(|it| it.sample.unread_pools), Some(1));
}

#[test]
fn what_is_not_as_it_must_be_is_refused() {
    let whole = Fake::new(NOW, &[(0, &[(4, 4)])]);
    assert!(find(&whole).is_ok());
    let pool = whole.pool(0, 0);
    let damage: &[(u64, u32)] = &[
        (ARRAY + 16, 64),       // more pools are free than there are
        (ARRAY + 20, 64),       // a pool more than fits
        (ARRAY + 8, 0x1234),    // pools end elsewhere
        (pool + 32, 1),         // a pool of another arena: and that entry has no arena
        (pool + 36, 32),        // a class that there is not
        (pool + 36, 5),         // of blocks that don't end where the header says
        (pool + 40, 16),        // blocks within the header
        (pool + 44, 16 * 1024), // blocks beyond the pool
    ];
    for (at, half) in damage {
        let mut fake = whole.clone();
        fake.put_half(*at, *half);
        assert_eq!(find(&fake).err(), Some(NotFound::Nothing), "{at:#x}: {half:#x}");
    }
}

#[test]
fn two_arrays_are_one_too_many() {
    let mut fake = Fake::new(NOW, &[(0, &[(4, 4)])]);
    let other = 0x7100_0000;
    fake.map(other, 16 * ENTRY);
    fake.put_arena(other, 1, &[(4, 4)]);
    fake.put(DATA.0 + 0x200, other);
    fake.put(DATA.0 + 0x208, other + ENTRY as u64);
    assert_eq!(find(&fake).err(), Some(NotFound::Several));
}

#[test]
fn ranges_contain_what_is_all_in_one() {
    let ranges = Ranges::joined([(10, 20), (20, 30), (40, 50)]);
    assert!(ranges.contain(10, 20) && ranges.contain(29, 1) && ranges.contain(40, 10));
    assert!(!ranges.contain(9, 1) && !ranges.contain(29, 2) && !ranges.contain(30, 1));
    assert!(!ranges.contain(45, u64::MAX));
}
