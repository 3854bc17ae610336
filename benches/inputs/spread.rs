//! What several rounds come to.

use std::fmt;

/// A median, and what it lies between.
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// Of one value a round, and one round at least.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

/// As wide as asked for, and each of the three with as many decimals.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let (median, least, most) = (self.median, self.least, self.most);
        let text = format!("{median:.digits$} ({least:.digits$} to {most:.digits$})");
        write!(f, "{text:>width$}", width = f.width().unwrap_or(0))
    }
}
