//! Helpers for tests of the whole program.
