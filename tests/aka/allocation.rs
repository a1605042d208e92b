//! The algorithm sets allocate nothing once they are made: an AuC makes a vector in memory that it has.

use core::hint::black_box;

use remote_provisioning::{
    aka::{
        AlgorithmSet, Ind, Keys, Milenage, Milenage256, Order, Sqn, Tuak, Vector, milenage, milenage256, resynchronise,
        sqn::Profile, tuak, vector_into, vectors,
    },
    crypto::Secret,
};

const RAND: [u8; 16] = [7; 16];
const AMF: [u8; 2] = [0x80, 0];

#[test]
fn the_procedures_of_the_network_allocate_nothing() {
    procedures(&milenage());
    procedures(&milenage().with_constants(own_constants()));
    procedures(&Tuak::new(tuak()).unwrap());
    procedures(&Milenage256::new(milenage256()).unwrap());
}

fn procedures(set: &impl AlgorithmSet) {
    let (mut made, mut keys) = (vec![Vector::zeroed(); 3], Keys::default());
    allocates_nothing("vector_into", || vector_into(set, &RAND, sqn(), AMF, &mut made[0]));
    let order = |number| Order { set, rand: [number; 16], sqn: sqn(), management_field: AMF };
    allocates_nothing("vectors", || assert_eq!(vectors((0..3).map(order), &mut made), 3));
    allocates_nothing("resynchronise", || assert!(resynchronise(set, &RAND, &[0; 14]).is_err()));
    allocates_nothing("f5_to_f1", || set.f5_to_f1(&RAND, &[0; 6], AMF, &mut keys));
    allocates_nothing("f1* and f5*", || set.f1_star_and_f5_star(&RAND, sqn()));
}

#[test]
fn the_functions_of_milenage_allocate_nothing() {
    let (set, mut keys) = (milenage(), Keys::default());
    allocates_nothing("f1", || set.f1(&RAND, sqn(), AMF));
    allocates_nothing("f1*", || set.f1_star(&RAND, sqn(), AMF));
    allocates_nothing("f2 to f5", || set.f2_to_f5(&RAND, &mut keys));
    allocates_nothing("f5*", || set.f5_star(&RAND));
}

#[test]
fn the_functions_of_tuak_allocate_nothing() {
    let (set, mut keys) = (tuak(), Keys::default());
    allocates_nothing("f1", || set.f1(&RAND, sqn(), AMF));
    allocates_nothing("f1*", || set.f1_star(&RAND, sqn(), AMF));
    allocates_nothing("f2 to f5", || set.f2_to_f5(&RAND, &mut keys));
    allocates_nothing("f5*", || set.f5_star(&RAND));
}

#[test]
fn the_functions_of_milenage_256_allocate_nothing() {
    let (set, mut keys) = (milenage256(), Keys::default());
    allocates_nothing("f1", || set.f1(&RAND, sqn(), AMF));
    allocates_nothing("f1*", || set.f1_star(&RAND, sqn(), AMF));
    allocates_nothing("f2 to f5", || set.f2_to_f5(&RAND, &mut keys));
    allocates_nothing("f5", || set.f5(&RAND));
    allocates_nothing("f5*", || set.f5_star(&RAND));
    allocates_nothing("f5**", || set.f5_star_star(&RAND, &[0; 8]));
}

fn allocates_nothing<T>(what: &str, work: impl FnOnce() -> T) {
    let counted = allocation_counter::measure(|| {
        black_box(work());
    });
    assert_eq!(counted.count_total, 0, "{what}");
}

/// That those above count at all.
#[test]
fn what_allocates_is_counted() {
    assert_ne!(allocation_counter::measure(|| drop(black_box(milenage()))).count_total, 0);
}

fn milenage() -> Milenage {
    Milenage::new(&secret::<16>(), &secret::<16>())
}

/// None of them a multiple of 32.
fn own_constants() -> milenage::Constants {
    milenage::Constants::new([0, 1, 2, 4, 8].map(u128::to_be_bytes), [1, 2, 3, 5, 7]).unwrap()
}

fn tuak() -> tuak::Functions {
    tuak::Functions::new(&secret::<32>(), &secret::<32>(), tuak::Parameters::default())
}

fn milenage256() -> milenage256::Functions {
    milenage256::Functions::new(&secret::<32>(), &secret::<32>(), milenage256::Parameters::default())
}

fn secret<const N: usize>() -> Secret<N> {
    Secret::from_slice(&[0x5a; N]).unwrap()
}

fn sqn() -> Sqn {
    Profile::default().sqn(77, Ind::default()).unwrap()
}
