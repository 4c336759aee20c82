//! Problems with the database as a whole: its indexes and its remaining capacity.

use super::code::Code;
use super::findings::{About, Suspicion};
use super::fixes::Fix;
use super::inventory::Inventory;
use crate::repo::inventory::OpenFiles;

/// The share of the open-file limit that collections and indexes may take, in percent. Connections, the journal and
/// other databases need files too, and MongoDB aborts when it runs out.
const FILES_PERCENT: i64 = 80;

/// Adds problems with the database.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for index in &inventory.missing_indexes {
        let about = About { index: Some(index.clone()), ..About::default() };
        let suspicion = Suspicion::new(Code::IndexMissing, about, "it is not there", "");
        found.push(suspicion.fixed_by(Some(Fix::MakeIndexes)));
    }
    if let Some(files) = inventory.open_files
        && is_low(files)
    {
        let OpenFiles { needed, limit } = files;
        let detail =
            format!("this database has {needed} collections and indexes, a file each; mongod may open {limit}");
        found.push(Suspicion::new(Code::OpenFilesLow, About::default(), detail, ""));
    }
}

fn is_low(OpenFiles { needed, limit }: OpenFiles) -> bool {
    needed.saturating_mul(100) > limit.saturating_mul(FILES_PERCENT)
}

/// Lists what could not be examined.
pub(super) fn notes(inventory: &Inventory) -> Vec<String> {
    let unknown =
        "the limit of open files could not be looked at: it takes the role clusterMonitor, and a MongoDB that says it";
    if inventory.open_files.is_none() { vec![unknown.to_owned()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_files_is_left_for_everything_else() {
        assert!(!is_low(OpenFiles { needed: 800, limit: 1_000 }));
        assert!(is_low(OpenFiles { needed: 801, limit: 1_000 }));
    }
}
