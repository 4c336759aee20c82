//! A doctor that examines a database in use.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bson::{doc, oid::ObjectId};
use serde_json::json;
use tenantry::domain::OrgId;
use uuid::Uuid;

use super::{Patient, doctor};
use crate::support::mongo::everything;
use crate::support::{PASSWORD, Server, repos};

/// The work done so far.
#[derive(Debug, Default)]
struct Progress {
    looks: Cell<u32>,
    made: Cell<u32>,
    renamed: Cell<u32>,
}

impl Progress {
    fn is_enough(&self) -> bool {
        self.looks.get() > 20 && self.made.get() > 8 && self.renamed.get() > 40
    }
}

/// Creates, renames and deletes organizations and changes emails.
async fn work(server: &Server, worker: usize, progress: &Progress) {
    for made in 0.. {
        if progress.is_enough() {
            break;
        }
        let name = format!("w{worker} {made}");
        let tenant = server.tenant(&name).await;
        let others = [format!("x{worker} {made}"), format!("y{worker} {made}")];
        for (from, to) in [(&name, &others[0]), (&others[0], &others[1]), (&others[1], &name)] {
            server.rename(&tenant.token, from, to).await.success(200);
        }
        let email = json!({ "organization_name": &name, "email": format!("n{made}@w{worker}.example") });
        let changed = server.update(&tenant.token, &email).await.success(200);
        let token = match changed.body["access_token"].as_str() {
            Some(token) => token.to_owned(),
            None => server.token(&format!("n{made}@w{worker}.example"), PASSWORD).await,
        };
        server.delete(&token, &name).await.success(200);
        progress.made.update(|made| made + 1);
    }
}

#[tokio::test]
async fn a_repair_does_nothing_where_a_change_began_after_it_was_seen() {
    let patient = Patient::new().await;
    let repos = repos(&patient.database);
    let seen = repos.orgs.find(OrgId(patient.acme)).await.expect("asked").expect("there");
    let admin_now = async || {
        let admins = repos.inventory.admins().await.expect("asked").into_iter();
        let mut own = admins.filter(|admin| admin.org_id == Some(seen.id));
        own.next().expect("there").content.expect("readable")
    };
    let seen_admin = admin_now().await;

    // A change begins and makes its claim.
    let change = ObjectId::new();
    patient.begin_change(change, 60_000).await;
    let claim = doc! { "claimed_by": change, "change_generation": seen.generation + 1 };
    patient.change_admin(doc! { "$set": claim }).await;
    let before = everything(&patient.database).await;
    assert!(!repos.orgs.adopt_collection(&seen, Uuid::new_v4()).await.expect("asked"));
    assert!(!repos.orgs.list_names_anew(&seen).await.expect("asked"));
    assert!(!repos.admins.give_claims_back(&seen_admin, &seen).await.expect("asked"));
    assert_eq!(everything(&patient.database).await, before);

    // The doctor saw the claim, but the change has ended since: same result.
    let seen_admin = admin_now().await;
    let released = doc! { "$set": { "change_generation": seen.generation + 2 }, "$unset": { "claimed_by": "" } };
    patient.change_admin(released).await;
    assert!(!repos.admins.give_claims_back(&seen_admin, &seen).await.expect("asked"));
}

/// Renames one organization back and forth, so that a change is usually in progress.
async fn rename_on_and_on(server: &Server, progress: &Progress) {
    let tenant = server.tenant("here").await;
    while !progress.is_enough() {
        for (from, to) in [("here", "there"), ("there", "here")] {
            server.rename(&tenant.token, from, to).await.success(200);
            progress.renamed.update(|renamed| renamed + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_that_looks_while_clients_work_finds_nothing() {
    for settings in [&[][..], &[("DELETE_GRACE_DAYS", "1")]] {
        let server = Server::with(settings).await;
        let progress = Progress::default();
        let look = async {
            let deadline = Instant::now() + Duration::from_mins(2);
            while !progress.is_enough() {
                assert!(Instant::now() < deadline, "still not enough: {progress:?}");
                let looks = progress.looks.get();
                // Every other doctor may repair, and must find nothing either.
                let report = doctor(&server.database, looks % 2 == 1).await;
                assert_eq!(report["findings"], json!([]), "after {looks} looks");
                progress.looks.set(looks + 1);
            }
        };
        let workers = futures_util::future::join_all((0..3).map(|worker| work(&server, worker, &progress)));
        tokio::join!(look, workers, rename_on_and_on(&server, &progress));
    }
}
