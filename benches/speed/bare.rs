//! The baseline: the same axum and driver with the same options, and for each call the shortest handler that sends as many
//! commands and answers with JSON. No middleware, no validation, no authorization, no log, no fence.

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, Hint, WriteConcern};
use mongodb::{Client, Collection, Database};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The database that is measured.
pub(crate) const DATABASE: &str = "master_db";

/// The argument that makes this program the bare one.
pub(crate) const ARGUMENT: &str = "bare";

/// The fields of an organization that answers show.
#[derive(Deserialize)]
struct StoredOrg {
    #[serde(rename = "_id")]
    id: ObjectId,
    organization_name: String,
    collection_name: String,
    admin_user_id: Option<ObjectId>,
    connection: Connection,
    created_at: DateTime,
    updated_at: DateTime,
}

#[derive(Serialize)]
struct Org {
    id: String,
    organization_name: String,
    collection_name: String,
    admin_user_id: Option<String>,
    connection: Connection,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, Deserialize)]
struct Connection {
    db_name: String,
    collection_name: String,
    extra: Document,
}

#[derive(Serialize)]
struct Found {
    ok: bool,
    organization: Org,
}

#[derive(Deserialize)]
struct Named {
    organization_name: String,
}

/// The caller, whom a server knows from the token.
#[derive(Deserialize, Clone, Copy)]
struct Whose {
    admin: ObjectId,
    org: ObjectId,
}

/// Serves until it is killed.
pub(crate) fn serve(uri: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        eprintln!("address={}", listener.local_addr().expect("an address"));
        let database = open(uri).await;
        let routes = Router::new()
            .route("/ready", get(async || "ready"))
            .route("/get", get(find))
            .route("/documents", post(insert))
            .route("/documents/{id}", get(read))
            .route("/create", post(create))
            .with_state(database);
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).expect("a socket"));
        axum::serve(listener, routes).await.expect("it listens");
    });
}

/// The database, with the options of the server.
pub(crate) async fn open(uri: &str) -> Database {
    let mut options = ClientOptions::parse(uri).await.expect("a connection string");
    (options.max_pool_size, options.min_pool_size, options.max_connecting) = (Some(100), Some(5), Some(10));
    let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    options.write_concern = Some(concern);
    Client::with_options(options).expect("options").database(DATABASE)
}

/// `GET /org/get`
async fn find(State(database): State<Database>, Query(named): Query<Named>) -> Json<Found> {
    let slug = named.organization_name.to_lowercase().replace(' ', "_");
    let orgs: Collection<StoredOrg> = database.collection("organizations");
    let found = orgs.find_one(doc! { "names": slug }).await.expect("an answer").expect("an organization");
    let rfc3339 = |time: DateTime| time.try_to_rfc3339_string().expect("a time");
    let organization = Org {
        id: found.id.to_hex(),
        organization_name: found.organization_name,
        collection_name: found.collection_name,
        admin_user_id: found.admin_user_id.map(ObjectId::to_hex),
        connection: found.connection,
        created_at: rfc3339(found.created_at),
        updated_at: rfc3339(found.updated_at),
    };
    Json(Found { ok: true, organization })
}

/// Loads the admin and its organization in one aggregation, as the server does, and returns the collection.
async fn look_up(database: &Database, whose: Whose) -> String {
    let of_id =
        doc! { "from": "organizations", "pipeline": [{ "$match": { "_id": whose.org } }], "as": "organization" };
    let pipeline = [doc! { "$match": { "_id": whose.admin } }, doc! { "$lookup": of_id }];
    let mut cursor = database.collection::<Document>("admins").aggregate(pipeline).await.expect("a cursor");
    assert!(cursor.advance().await.expect("an answer"), "there is no such admin");
    let orgs = cursor.current().get_array("organization").expect("a list");
    let org = orgs.get_document(0).expect("an organization");
    org.get_str("collection_name").expect("a name").to_owned()
}

/// `GET /org/{organization_name}/documents/{id}`
async fn read(
    State(database): State<Database>,
    Query(whose): Query<Whose>,
    Path(id): Path<String>,
) -> Json<RawDocumentBuf> {
    let collection = look_up(&database, whose).await;
    let collection = database.collection::<RawDocumentBuf>(&collection);
    let found = collection.find_one(doc! { "_id": id }).await.expect("an answer");
    Json(found.expect("a document"))
}

/// `POST /org/{organization_name}/documents`
async fn insert(
    State(database): State<Database>,
    Query(whose): Query<Whose>,
    Json(mut document): Json<Document>,
) -> (StatusCode, Json<Document>) {
    let collection = look_up(&database, whose).await;
    document.insert("_id", ObjectId::new());
    database.collection::<Document>(&collection).insert_one(&document).await.expect("inserted");
    (StatusCode::CREATED, Json(document))
}

#[derive(Deserialize)]
struct Creation {
    organization_name: String,
    email: String,
    password: String,
}

/// bcrypt's cost, as the server's `SALT_ROUNDS`.
#[derive(Deserialize)]
struct Cost {
    cost: u32,
}

/// `POST /org/create`: three lookups, the hash, and the steps of a creation.
async fn create(
    State(database): State<Database>,
    Query(Cost { cost }): Query<Cost>,
    Json(creation): Json<Creation>,
) -> (StatusCode, Json<Value>) {
    let Creation { organization_name: name, email, password } = creation;
    let slug = name.to_lowercase().replace(' ', "_");
    let collection = format!("org_{slug}");
    let (orgs, admins) = (database.collection::<Document>("organizations"), database.collection("admins"));
    let only_id = doc! { "_id": 1 };
    let taken = orgs.find_one(doc! { "names": &slug }).projection(only_id.clone()).await.expect("an answer");
    let used = admins.find_one(doc! { "emails": &email }).projection(only_id.clone()).await.expect("an answer");
    assert!(taken.is_none() && used.is_none(), "it is new");
    let _total = orgs.count_documents(doc! {}).hint(Hint::Keys(only_id)).await.expect("a count");
    let hashed = tokio::task::spawn_blocking(move || bcrypt::hash(password, cost).expect("a hash")).await;
    let (id, admin, now) = (ObjectId::new(), ObjectId::new(), DateTime::now());
    let of_it = doc! { "_id": id };
    let org = doc! {
        "organization_name": &name, "slug": &slug, "names": [&slug], "collection_name": &collection, "admin_user_id": admin,
        "connection": { "db_name": DATABASE, "collection_name": &collection, "extra": {} }, "state": "provisioning",
        "generation": 0_i64, "created_at": now, "updated_at": now, "change": { "id": ObjectId::new(), "fence": 1_i64 },
    };
    let insert = [doc! { "$replaceWith": { "$mergeObjects": [{ "$literal": org }, { "_id": id }] } }];
    orgs.update_one(of_it.clone(), insert.to_vec()).upsert(true).await.expect("stored");
    let credentials = doc! {
        "_id": admin, "organization_id": id, "email": &email, "emails": [&email], "role": "admin",
        "password_hash": hashed.expect("no panic"), "credential_version": 1_i64, "change_generation": 0_i64,
        "created_at": now, "updated_at": now,
    };
    admins.insert_one(credentials).await.expect("stored");
    let renew = doc! { "$set": { "change.lease_until": "$$NOW" } };
    orgs.update_one(of_it.clone(), vec![renew]).await.expect("stored");
    let concern = doc! { "w": "majority", "j": true };
    let make = doc! { "create": &collection, "validator": { "$comment": id.to_hex() }, "writeConcern": concern };
    database.run_command(make).await.expect("made");
    let mut found = database.list_collections().filter(doc! { "name": &collection }).await.expect("a cursor");
    assert!(found.advance().await.expect("an answer"), "it was made");
    let uuid = found.deserialize_current().expect("readable").info.uuid;
    let record = doc! { "$set": { "collection_uuid": uuid } };
    orgs.update_one(of_it.clone(), vec![record]).await.expect("stored");
    let finish = vec![doc! { "$set": { "state": "active", "generation": 1_i64 } }, doc! { "$unset": "change" }];
    orgs.update_one(of_it, finish).await.expect("stored");
    (StatusCode::CREATED, Json(json!({ "ok": true, "organization": { "id": id.to_hex(), "organization_name": name } })))
}
