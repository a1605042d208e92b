//! How costs grow: a session among many that are live, and each entry of a line of owners, certificates or receipts.
//!
//! Drawn is what one of them costs, as times what it costs where there is one: whatever is linear stays at 1, whatever is
//! better falls, and a square would climb with the number itself.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use plotters::prelude::*;
use remote_provisioning::provisioning::Operator;

use crate::{
    parties::{self, Backend, Pair},
    provisioning::Run,
    row::Row,
    trust,
};

/// Sessions that are live.
const LIVE: [u32; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Of so many runs the fastest counts: other programs only ever make one slower.
const RUNS: usize = 300;

/// A name, and for each number what one costs.
type Line = (&'static str, Vec<(u32, f64)>);

pub(crate) fn draw() {
    let [time, bytes] = sessions();
    let lines = [
        time,
        bytes,
        entries("a voucher entry", "voucher of "),
        entries("a certificate", "chain of "),
        entries("a receipt", "receipts, "),
    ];
    for (name, points) in &lines {
        let points: Vec<_> = points.iter().map(|(number, cost)| format!("{number}: {cost:.2}")).collect();
        println!("{name:<28} {}", points.join("   "));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/growth.svg");
    plot(&lines, &file).unwrap();
    println!("drawn: {}", file.display());
}

/// Microseconds of a whole provisioning, and bytes of a session that waits, with so many others that wait.
fn sessions() -> [Line; 2] {
    let backend = fast();
    let run = Run::new(backend, Pair::chains(backend), false);
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for live in LIVE {
        let mut sessions: BTreeMap<u32, Box<Operator>> = BTreeMap::new();
        let counted =
            allocation_counter::measure(|| sessions.extend((0..live).map(|number| (number * 2, run.open().into()))));
        let time = fastest(|| {
            // In the midst of them.
            sessions.insert(live | 1, run.open().into());
            run.operator();
            sessions.remove(&(live | 1)).unwrap();
        });
        times.push((live, time));
        sizes.push((live, f64::from(u32::try_from(counted.bytes_current).unwrap()) / f64::from(live)));
    }
    [("a session, µs", times), ("a session, bytes", sizes)]
}

/// Microseconds of each entry, of rows that end in their number.
fn entries(name: &'static str, row: &str) -> Line {
    let mut rows = trust::rows();
    rows.retain(|found| found.name().contains(fast().name) && found.name().contains(row));
    let point = |row: &mut Row| {
        let number: u32 = row.name().rsplit(' ').next().unwrap().parse().unwrap();
        let [all, _] = row.both();
        (number, fastest(all) / f64::from(number))
    };
    (name, rows.iter_mut().map(point).collect())
}

/// The faster a row is, the more often it runs without being interrupted.
fn fast() -> Backend {
    parties::backends().pop().unwrap()
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e6
}

fn plot(lines: &[Line], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const COLOURS: [RGBColor; 5] = [
        RGBColor(0, 90, 160),
        RGBColor(0, 150, 130),
        RGBColor(200, 80, 0),
        RGBColor(130, 60, 150),
        RGBColor(90, 90, 90),
    ];
    let area = SVGBackend::new(file, (760, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((1_f64..100_000.0).log_scale(), 0_f64..2.0)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(1)
        .x_desc("sessions that are live, or entries of a line")
        .y_desc("cost of one, as times the first")
        .x_label_formatter(&|number| format!("{number:.0}"))
        .draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let first = points.first().map_or(1.0, |(_, cost)| *cost);
        let last = points.last().copied().unwrap_or_default();
        let points = points.iter().map(|(number, cost)| (f64::from(*number), cost / first));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(format!("{name}: {first:.0} at 1, {:.0} at {}", last.1, last.0))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
