//! Measurements and their uncertainty.

use std::fmt;
use std::time::Duration;

/// One measurement of many requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Answers per second.
    pub(crate) rate: f64,
    /// The median latency, in milliseconds.
    pub(crate) p50: f64,
    /// The 99th percentile, in milliseconds.
    pub(crate) p99: f64,
}

impl Measured {
    pub(crate) fn of(mut latencies: Vec<Duration>, time: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: usize| millis(latencies[(latencies.len() - 1) * share / 100]);
        Self { rate: count(latencies.len()) / time.as_secs_f64(), p50: at(50), p99: at(99) }
    }
}

/// Several measurements of a number: the median and its 95 % confidence interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(measured: impl IntoIterator<Item = f64>) -> Self {
        let mut measured: Vec<f64> = measured.into_iter().collect();
        measured.sort_unstable_by(f64::total_cmp);
        let last = measured.len() - 1;
        // The number of measurements below the true median is binomial: about n/2 with a deviation of sqrt(n)/2. This only
        // assumes that measurements are independent.
        let outside = ((count(last) - 1.96 * count(measured.len()).sqrt()) / 2.0).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below their number, and rounded down"
        )]
        let outside = outside as usize;
        let median = f64::midpoint(measured[last / 2], measured[measured.len() / 2]);
        Self { median, low: measured[outside], high: measured[last - outside] }
    }

    /// A single measurement.
    pub(crate) fn once(number: f64) -> Self {
        Self::of([number])
    }

    /// Of two things measured in turns: each of them, and the ratio of the first to the second.
    pub(crate) fn of_pairs<T: Copy>(pairs: &[(T, T)], number: impl Fn(T) -> f64) -> [Self; 3] {
        let of = |from: fn(f64, f64) -> f64| Self::of(pairs.iter().map(|pair| from(number(pair.0), number(pair.1))));
        [of(|one, _| one), of(|_, other| other), of(|one, other| one / other)]
    }
}

/// Rounded to significant digits.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = *self;
        let digits = match median {
            0.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        write!(f, "{median:.digits$}")?;
        // A single measurement has no interval.
        if low < high { write!(f, " ({low:.digits$} to {high:.digits$})") } else { Ok(()) }
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few million")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
