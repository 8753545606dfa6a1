//! Reading the distributions that delays are drawn from.

use std::time::Duration;

use serde_json::Value;

use crate::fault::delay::DelayTime;
use crate::fault::duration;
use crate::problem::At;
use crate::reading::{Members, Reading};

const MAX_SIGMA: f64 = 10.0;
const MAX_SHAPE: f64 = 100.0;
const MAX_PERCENTILES: usize = 32;

pub(super) fn read_uniform(value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    let parts = Parts::of(value, at, &["min", "max"], reading)?;
    let (min, max) = (parts.time_or_zero("min", reading), parts.time("max", reading));
    let (min, max) = (min?, max?);
    reading.check(min <= max, at, "holds a min above its max")?;
    parts.all_known(DelayTime::Uniform { min, max })
}

pub(super) fn read_normal(value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    let parts = Parts::of(value, at, &["mean", "stddev", "max"], reading)?;
    let mean = parts.time_or_zero("mean", reading);
    let (stddev, max) = (parts.time("stddev", reading), parts.time("max", reading));
    parts.all_known(DelayTime::Normal { mean: mean?, stddev: stddev?, max: max? })
}

pub(super) fn read_log_normal(value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    let parts = Parts::of(value, at, &["median", "sigma", "max"], reading)?;
    let (median, max) = (parts.time("median", reading), parts.time("max", reading));
    let sigma = parts.number("sigma", MAX_SIGMA, reading);
    parts.all_known(DelayTime::LogNormal { median: median?, sigma: sigma?, max: max? })
}

pub(super) fn read_pareto(value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    let parts = Parts::of(value, at, &["scale", "shape", "max"], reading)?;
    let (scale, max) = (parts.time("scale", reading), parts.time("max", reading));
    let shape = parts.number("shape", MAX_SHAPE, reading);
    let (scale, shape, max) = (scale?, shape?, max?);
    reading.check(scale <= max, at, "holds a scale above its max")?;
    parts.all_known(DelayTime::Pareto { scale, shape, max })
}

pub(super) fn read_percentiles(value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    let map = reading.map(value, at)?;
    let good = (1..=MAX_PERCENTILES).contains(&map.len());
    if !good {
        reading.problem(at, format!("needs 1 to {MAX_PERCENTILES} percentiles, has {}", map.len()));
    }
    let read: Vec<_> = map
        .iter()
        .map(|(key, value)| {
            let at = at.key(key);
            let share = thousandths(key);
            reading.check(share.is_some(), &at, "is not a percentile; one looks like p50 or p99.9")?;
            share.zip(duration::read_or_zero(value, &at, reading))
        })
        .collect();
    let mut points = read.into_iter().collect::<Option<Vec<_>>>().filter(|_| good)?;
    points.sort_unstable();
    let pairs = || points.iter().zip(points.iter().skip(1));
    let detail = "holds one percentile twice";
    reading.check(pairs().all(|((share, _), (next, _))| share < next), at, detail)?;
    let detail = "must ascend: no higher percentile may have a shorter delay";
    reading.check(pairs().all(|((_, time), (_, next))| time <= next), at, detail)?;
    let delays = points.last().is_some_and(|(_, most)| !most.is_zero());
    reading.check(delays, at, "delays nothing: the highest percentile must be longer than 0")?;
    let points = points.into_iter().map(|(share, time)| (f64::from(share) / 100_000.0, time));
    Some(DelayTime::Percentiles(points.collect()))
}

/// `p99.9`, in thousandths of a percent: with at most three decimals, and without zeros in front.
fn thousandths(key: &str) -> Option<u32> {
    let number = key.strip_prefix('p')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let percent = duration::digits(whole, 3).filter(|_| whole == "0" || !whole.starts_with('0'))?;
    let scale = match decimals.len() {
        1 => 100,
        2 => 10,
        _ => 1,
    };
    let thousandths = percent * 1_000 + duration::digits(decimals, 3)? * scale;
    u32::try_from(thousandths).ok().filter(|thousandths| *thousandths <= 100_000)
}

/// The members of a distribution. All of them are required.
struct Parts<'d, 'a> {
    members: Members<'d>,
    at: &'a At<'a>,
}

impl<'d, 'a> Parts<'d, 'a> {
    fn of(value: &'d Value, at: &'a At<'a>, known: &[&str], reading: &mut Reading) -> Option<Parts<'d, 'a>> {
        reading.object(value, at, known).map(|members| Parts { members, at })
    }

    fn time(&self, key: &str, reading: &mut Reading) -> Option<Duration> {
        let value = self.members.required(key, self.at, reading)?;
        duration::read(value, &self.at.key(key), reading)
    }

    fn time_or_zero(&self, key: &str, reading: &mut Reading) -> Option<Duration> {
        let value = self.members.required(key, self.at, reading)?;
        duration::read_or_zero(value, &self.at.key(key), reading)
    }

    /// A number above 0.
    fn number(&self, key: &str, most: f64, reading: &mut Reading) -> Option<f64> {
        let number = self.members.required(key, self.at, reading)?.as_f64();
        let number = number.filter(|number| *number > 0.0 && *number <= most);
        if number.is_none() {
            reading.problem(&self.at.key(key), format!("must be a number above 0, at most {most}"));
        }
        number
    }

    fn all_known(&self, read: DelayTime) -> Option<DelayTime> {
        (!self.members.strange).then_some(read)
    }
}
