//! All rows of the suite, by what they ask. Names measurements and figures; knows no process.

mod latency;
mod recovery;
mod storage;
mod throughput;

pub(crate) use self::latency::{CLIENTS, SYNC};
pub(crate) use self::throughput::ACTORS;

use anyhow::{Result, bail};

use crate::row::Row;

/// What can be set for rows.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// How much `churn` logs.
    pub(crate) gigabytes: f64,
}

/// The rows of these names, in the order of the table; all when no name is given.
pub(crate) fn rows(only: &[String], settings: Settings) -> Result<Vec<Row>> {
    let mut rows = throughput::rows();
    rows.extend(latency::rows());
    rows.extend(storage::rows(settings.gigabytes));
    rows.extend(recovery::rows());
    for name in only {
        if rows.iter().all(|row| row.name != name) {
            let names: Vec<_> = rows.iter().map(|row| row.name).collect();
            bail!("there is no row {name}; there are: {}", names.join(", "));
        }
    }
    rows.retain(|row| only.is_empty() || only.iter().any(|name| row.name == name));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::round::Round;

    const SETTINGS: Settings = Settings { gigabytes: 10.0 };

    #[test]
    fn rows_are_found_by_name() {
        let names: Vec<_> = rows(&[], SETTINGS).unwrap().iter().map(|row| row.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            assert_eq!(rows(&[name.to_owned()], SETTINGS).unwrap().len(), 1);
        }
        assert!(rows(&["none".to_owned()], SETTINGS).is_err());
    }

    #[test]
    fn the_same_name_means_the_same_measurement() {
        let rows = rows(&[], SETTINGS).unwrap();
        let measures: Vec<_> = rows.iter().flat_map(|row| &row.measures).collect();
        for measure in &measures {
            let Ok(arguments) = measure.arguments(&Round::default()) else { continue };
            for other in measures.iter().filter(|other| other.name == measure.name) {
                assert_eq!(other.arguments(&Round::default()).unwrap(), arguments, "{}", measure.name);
            }
        }
    }
}
