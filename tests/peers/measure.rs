//! One run: a fresh server, one load on it, its figures.
//!
//! Shape: [`plan`] says the load in the words of the load tool, [`figures`] takes what the tables show out of its report.
//! Bound: [`RUN_MAX`]. Failure: the server's own words, or the load tool's; the server is stopped in any case.
