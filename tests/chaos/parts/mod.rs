//! One file for each kind of harm.

pub(crate) mod controls;
pub(crate) mod failover;
pub(crate) mod failpoints;
pub(crate) mod lost_replies;
pub(crate) mod storm;
pub(crate) mod sweep;
pub(crate) mod zombies;
