//! Exact binomial tails, the normal distribution, and bounds of chi-square.

/// A right engine may look wrong with this chance.
pub const ALPHA: f64 = 1e-6;
/// The standard normal quantile of `1 - ALPHA`.
pub const Z: f64 = 4.753_424;

/// The natural logarithm of the gamma function, by Stirling's series above 10.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

/// The exact chances of at most, and of at least, so many hits; what is rarer than one in 10^20 is left out.
pub fn binomial_tails(hits: usize, rounds: usize, probability: f64) -> (f64, f64) {
    let n = rounds as f64;
    let chance = |hits: usize| {
        let k = hits as f64;
        let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        (ways + k * probability.ln() + (n - k) * (-probability).ln_1p()).exp()
    };
    let mean = n * probability;
    let far = 12.0 * (mean * (1.0 - probability)).sqrt() + 60.0;
    let (least, most) = ((mean - far).max(0.0) as usize, ((mean + far) as usize).min(rounds));
    ((least..=hits.min(most)).map(chance).sum(), (hits.max(least)..=most).map(chance).sum())
}

pub fn assert_binomial(hits: usize, rounds: usize, probability: f64, what: &str) {
    let (at_most, at_least) = binomial_tails(hits, rounds, probability);
    let good = at_most.min(at_least) > ALPHA / 2.0;
    assert!(good, "{what}: {hits} of {rounds} at {probability}, with tails {at_most} and {at_least}");
}

/// `P(X <= x)` of the standard normal distribution, by its series near 0 and its continued fraction beyond.
pub fn normal_cdf(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
            if term.abs() < f64::EPSILON * sum.abs() {
                break;
            }
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..100).rev().fold(x.abs(), |fraction, n| x.abs() + f64::from(n) / fraction);
    if x > 0.0 { 1.0 - density / fraction } else { density / fraction }
}

/// What a chi-square statistic stays below with chance `1 - ALPHA`, by Wilson and Hilferty.
pub fn chi_square_bound(degrees: usize) -> f64 {
    let k = degrees as f64;
    k * (1.0 - 2.0 / (9.0 * k) + Z * (2.0 / (9.0 * k)).sqrt()).powi(3)
}
