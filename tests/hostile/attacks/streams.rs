//! Imports and exports that do not get on.
