//! `/org/{organization_name}/names`: the names that an organization has and had. One file for each call.

pub(super) mod delete;
pub(super) mod list;

use super::openapi;

openapi::calls![list::list, delete::delete];
