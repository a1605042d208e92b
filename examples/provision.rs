//! x
fn main() {
    let mut w = remote_provisioning::sim::World::new(7);
    let r = w.run(&mut |t, e| println!("{t:?} {}", format!("{e:?}").chars().take(200).collect::<String>()));
    println!("{r:?}");
    w.assert_sound();
}
