//! A row: something that is done, and the primitives that it cannot do without.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;

use crate::Part;

/// How long one row of a table is measured.
const PATIENCE: Duration = Duration::from_millis(1_200);

/// Rounds of a row, at least.
const ROUNDS: usize = 20;

/// How long all cores work at one thing before they turn to the other.
const SPELL: Duration = Duration::from_millis(60);

/// How often they do.
const SPELLS: usize = 6;

pub(crate) struct Row {
    name: String,
    /// How often in a row, so that the clock is not what is measured.
    calls: u32,
    /// How many results one call has.
    results: u32,
    goal: Option<f64>,
    all: Box<dyn FnMut()>,
    floor: Box<dyn FnMut()>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, all: impl FnMut() + 'static, floor: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), calls: 1, results: 1, goal: None, all: Box::new(all), floor: Box::new(floor) }
    }

    pub(crate) fn calls(self, calls: u32) -> Self {
        Self { calls, ..self }
    }

    pub(crate) fn results(self, results: u32) -> Self {
        Self { results, ..self }
    }

    /// At most so many times the floor.
    pub(crate) fn goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How often it may run for nothing: the more, the shorter it is.
    pub(crate) fn repeats(&self) -> u32 {
        self.calls.min(16)
    }

    /// All of it, and the floor.
    pub(crate) fn both(&mut self) -> [&mut dyn FnMut(); 2] {
        [&mut self.all, &mut self.floor]
    }

    pub(crate) fn criterion(&mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(&self.name);
        group.bench_function("all", |bench| bench.iter(&mut self.all));
        group.bench_function("floor", |bench| bench.iter(&mut self.floor));
        group.finish();
    }
}

pub(crate) fn table(part: &str, rows: &mut [Row], testing: bool) {
    println!("{part:<48} {:>11} {:>11}   ratio   goal  allocations   (µs; the fastest, in turn)", "", "floor");
    for row in rows {
        let (mut all, mut floor) = (Vec::new(), Vec::new());
        let start = Instant::now();
        while all.len() < if testing { 1 } else { ROUNDS } || (!testing && start.elapsed() < PATIENCE) {
            all.push(time(row.calls, &mut row.all));
            floor.push(time(row.calls, &mut row.floor));
        }
        let (all, floor) = (fastest(&all) / f64::from(row.results), fastest(&floor) / f64::from(row.results));
        let goal = row.goal.map_or_else(String::new, |goal| format!("{goal:.2}"));
        let allocations = allocation_counter::measure(&mut row.all).count_total;
        println!("{:<48} {all:>11.3} {floor:>11.3} {:>7.3} {goal:>6} {allocations:>12}", row.name, all / floor);
    }
    println!();
}

/// Microseconds per call.
fn time(calls: u32, work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// Other programs only ever make one slower.
fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Every core does all of a row, and then its floor, in turn.
pub(crate) fn throughput(parts: &[Part], filter: &str, testing: bool) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("{:<48} {:>11} {:>11}   ratio   (a second on {cores} cores at once)", "throughput", "", "floor");
    for (_, rows) in parts {
        let names: Vec<_> = rows().iter().map(|row| row.name.clone()).collect();
        let barrier = Barrier::new(cores);
        let rates: Vec<Vec<[f64; 2]>> = thread::scope(|scope| {
            let worker = || {
                let mut rows = rows();
                rows.retain(|row| row.name.contains(filter));
                rows.iter_mut().map(|row| rate(row, &barrier, testing)).collect()
            };
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        for (at, name) in names.iter().filter(|name| name.contains(filter)).enumerate() {
            let sum = |of: usize| rates.iter().filter_map(|rates| rates.get(at)?.get(of)).sum::<f64>();
            println!("{name:<48} {:>11.0} {:>11.0} {:>7.3}", sum(0), sum(1), sum(1) / sum(0));
        }
    }
    println!();
}

/// Results a second on this core: of all, of the floor.
fn rate(row: &mut Row, barrier: &Barrier, testing: bool) -> [f64; 2] {
    let mut done = [(0_u32, Duration::ZERO); 2];
    for _ in 0..if testing { 1 } else { SPELLS } {
        let (calls, spell) = (row.calls, if testing { Duration::ZERO } else { SPELL });
        for (work, (count, spent)) in row.both().into_iter().zip(&mut done) {
            barrier.wait();
            let start = Instant::now();
            loop {
                (0..calls).for_each(|_| work());
                *count += calls;
                if start.elapsed() >= spell {
                    break;
                }
            }
            *spent += start.elapsed();
        }
    }
    done.map(|(count, spent)| f64::from(count) * f64::from(row.results) / spent.as_secs_f64())
}
