//! `/org/{organization_name}/schema`: the JSON Schema that an organization's documents must follow. One file for each call.

pub(super) mod delete;
pub(super) mod get;
pub(super) mod put;

use super::openapi;

openapi::calls![get::get, put::put, delete::delete];
