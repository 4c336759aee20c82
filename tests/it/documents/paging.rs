//! Pages through random collections on a real server, and compares the results with MongoDB's own sort.
//!
//! Values of all sortable types meet here, including equal ones of different types. Some collections also contain
//! values without a place in an order: a listing must fail there, without skipping one before.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, RawDocumentBuf, Regex, Timestamp, doc, oid::ObjectId};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, Database};
use tenantry::domain::query::{Position, Sort};

use crate::support::mongo::shared;
use crate::support::server::empty_database;

/// The number of random collections; each takes some hundred queries.
const SEEDS: u64 = 40;

const DOCUMENTS: usize = 40;

/// Random numbers from a seed (`SplitMix64`), so that a failure can be reproduced.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("a bound")).expect("a small number")
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

fn binary(subtype: u8, bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes: bytes.to_vec() })
}

fn oid(last: u8) -> Bson {
    Bson::ObjectId(ObjectId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, last]))
}

fn pattern() -> Bson {
    Bson::RegularExpression(Regex { pattern: bson::raw::cstr!("a").into(), options: bson::raw::cstr!("").into() })
}

fn numbers() -> Vec<Bson> {
    let mut numbers: Vec<Bson> =
        [0.0, -0.0, 1.0, 0.1, -1.5, 9_007_199_254_740_992.0, 1e300, 5e-324, 9.223_372_036_854_776e18]
            .into_iter()
            .chain([f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN])
            .map(Bson::Double)
            .collect();
    numbers.extend([0, 1, -1, i32::MAX, i32::MIN].map(Bson::Int32));
    numbers.extend([0, 1, i64::MAX, i64::MIN, 9_007_199_254_740_992, 9_007_199_254_740_993].map(Bson::Int64));
    numbers.extend(
        [
            "0",
            "-0",
            "0E-30",
            "1",
            "1.00",
            "0.1",
            "-1.5",
            "9007199254740993",
            "9223372036854775807.5",
            "1E300",
            "1E6144",
        ]
        .map(decimal),
    );
    numbers.extend(
        ["NaN", "-NaN", "Infinity", "-Infinity", "1E-6176", "0.1000000000000000055511151231257827"].map(decimal),
    );
    numbers
}

fn objects() -> Vec<Bson> {
    [
        doc! {},
        doc! { "a": 1 },
        doc! { "a": 1.0 },
        doc! { "a": 1, "b": 1 },
        doc! { "b": 0 },
        doc! { "a": f64::NAN },
        doc! { "a": decimal("NaN") },
        doc! { "a": Bson::Null },
        doc! { "a": Bson::Undefined },
        doc! { "a": Bson::MinKey },
        doc! { "a": Bson::MaxKey },
        doc! { "a": pattern() },
        doc! { "a": Bson::Symbol("x".to_owned()) },
        doc! { "a": "x" },
        doc! { "a": [] },
        doc! { "a": [1, [2]] },
        doc! { "a": { "$gt": 1 } },
        doc! { "$gt": 1 },
        doc! { "$ref": "a", "$id": 1 },
        doc! { "": 1 },
        doc! { "c": 1 },
        doc! { "c": { "d": 1 } },
    ]
    .map(Bson::Document)
    .to_vec()
}

fn others() -> Vec<Bson> {
    vec![
        binary(0, b""),
        binary(0, b"a"),
        binary(0, b"b"),
        binary(0, b"aa"),
        binary(2, b"a"),
        binary(4, &[0; 16]),
        binary(128, b"a"),
        oid(0),
        oid(1),
        Bson::ObjectId(ObjectId::from_bytes([0; 12])),
        Bson::ObjectId(ObjectId::from_bytes([255; 12])),
        Bson::Boolean(false),
        Bson::Boolean(true),
        Bson::DateTime(DateTime::MIN),
        Bson::DateTime(DateTime::MAX),
        Bson::DateTime(DateTime::from_millis(0)),
        Bson::DateTime(DateTime::from_millis(-1)),
        Bson::Timestamp(Timestamp { time: 0, increment: 1 }),
        Bson::Timestamp(Timestamp { time: u32::MAX, increment: u32::MAX }),
        Bson::Timestamp(Timestamp { time: 1, increment: 1 }),
    ]
}

fn sortable(chance: &mut Chance) -> Bson {
    let texts = ["", "a", "A", "aa", "ä", "a\0b", "\u{10FFFF}"];
    match chance.below(7) {
        0 => Bson::Null,
        1 | 2 => chance.pick(&numbers()),
        3 => Bson::String(chance.pick(&texts).to_owned()),
        4 => chance.pick(&objects()),
        _ => chance.pick(&others()),
    }
}

fn unsortable(chance: &mut Chance) -> Bson {
    match chance.below(13) {
        0 => Bson::Array(Vec::new()),
        12 => {
            let one = |chance: &mut Chance| Bson::Document(doc! { "c": sortable(chance), "d": sortable(chance) });
            Bson::Array(vec![one(chance), one(chance), one(chance)])
        }
        1 => Bson::Array(vec![sortable(chance)]),
        2 => Bson::Array(vec![sortable(chance), sortable(chance)]),
        3 => Bson::Array(vec![Bson::Array(vec![sortable(chance)])]),
        4 => Bson::Array(vec![Bson::Array(Vec::new())]),
        5 => Bson::Array(vec![sortable(chance), Bson::Array(vec![sortable(chance)])]),
        6 => Bson::Array(vec![unsortable(chance), Bson::Document(doc! { "c": unsortable(chance) })]),
        7 => Bson::Array(vec![Bson::Document(doc! { "c": sortable(chance) }), sortable(chance)]),
        8 => chance.pick(&[Bson::MinKey, Bson::MaxKey]),
        9 => chance.pick(&[Bson::Undefined, Bson::Symbol("a".to_owned()), Bson::Symbol("aa".to_owned())]),
        10 => pattern(),
        _ => Bson::JavaScriptCode("a".to_owned()),
    }
}

/// The values of a random collection: how many different ones, and whether some are not sortable.
struct Kind {
    pool: Vec<Bson>,
}

impl Kind {
    fn new(chance: &mut Chance, with_unsortable: bool) -> Self {
        let size = 2 + chance.below(20);
        let mut pool: Vec<Bson> = (0..size).map(|_| sortable(chance)).collect();
        if chance.one_in(3) {
            pool.extend(vec![Bson::Null; size]);
        }
        if with_unsortable {
            let position = chance.below(size);
            pool[position] = unsortable(chance);
        }
        Self { pool }
    }

    fn document(&self, chance: &mut Chance) -> Document {
        let mut document = doc! { "_id": id(chance) };
        if !chance.one_in(8) {
            document.insert("a", chance.pick(&self.pool));
        }
        match chance.below(8) {
            0 => {}
            1 => _ = document.insert("b", chance.pick(&self.pool)),
            2 => _ = document.insert("b", doc! {}),
            3 => _ = document.insert("b", doc! { "c": chance.pick(&self.pool), "d": chance.pick(&self.pool) }),
            _ => _ = document.insert("b", doc! { "c": chance.pick(&self.pool) }),
        }
        document
    }
}

/// Ids of every type that MongoDB accepts.
fn id(chance: &mut Chance) -> Bson {
    match chance.below(4) {
        0 => Bson::Int32(i32::try_from(chance.below(1_000)).expect("small")),
        1 => oid(u8::try_from(chance.below(256)).expect("a byte")),
        2 => Bson::String(format!("{}", chance.below(100))),
        _ => sortable(chance),
    }
}

fn order(chance: &mut Chance) -> String {
    let mut fields = vec!["a", "b.c", "b", "b.d", "b.c.d", "_id"];
    let mut parts = Vec::new();
    for _ in 0..=chance.below(3) {
        let field = fields.remove(chance.below(fields.len()));
        parts.push(format!("{}{field}", if chance.one_in(2) { "-" } else { "" }));
        if field == "_id" {
            break;
        }
    }
    parts.join(",")
}

async fn find(
    collection: &Collection<RawDocumentBuf>,
    filter: Document,
    sort: &Sort,
    limit: i64,
) -> Result<Vec<RawDocumentBuf>, mongodb::error::Error> {
    collection.find(filter).sort(sort.to_document()).limit(limit).await?.try_collect().await
}

/// All documents, page by page, until the end or a failure; and whether it failed because of a value.
async fn pages(collection: &Collection<RawDocumentBuf>, sort: &Sort, limit: usize) -> (Vec<RawDocumentBuf>, bool) {
    let mut shown: Vec<RawDocumentBuf> = Vec::new();
    let mut after = doc! {};
    loop {
        let size = i64::try_from(limit).expect("small");
        let page = find(collection, after.clone(), sort, size).await.expect("a page");
        for document in &page {
            let Ok(position) = sort.position_of(document) else {
                return (shown, true);
            };
            let values = position.values().to_vec();
            let carried = bson::serialize_to_vec(&doc! { "p": values }).expect("BSON");
            let carried: Document = bson::deserialize_from_slice(&carried).expect("BSON");
            let values = carried.get_array("p").expect("values").clone();
            after = sort.after(&Position::from_values(sort, values).expect("a position"));
            shown.push(document.clone());
        }
        if page.len() < limit {
            return (shown, false);
        }
        assert!(shown.len() <= DOCUMENTS, "a page repeats itself: {sort} {after}");
    }
}

/// Describes where the pages first differ from MongoDB's order.
fn first_difference(expected: &[RawDocumentBuf], shown: &[RawDocumentBuf]) -> String {
    let same = expected.iter().zip(shown).take_while(|(one, other)| one == other).count();
    let near = |documents: &[RawDocumentBuf]| {
        let near = documents.iter().skip(same.saturating_sub(1)).take(2);
        near.map(|document| {
            Document::try_from(document).map_or_else(|error| error.to_string(), |near| near.to_string())
        })
        .collect::<Vec<_>>()
    };
    format!("MongoDB goes on with {:?}, the pages with {:?}", near(expected), near(shown))
}

/// The result of one round.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    failed: usize,
    unanswered: usize,
}

async fn round(database: &Database, seed: u64, tally: &mut Tally) {
    let mut chance = Chance(seed);
    let collection = database.collection::<RawDocumentBuf>(&format!("paging_{seed}"));
    collection.drop().await.expect("empty");
    let has_unsortable = chance.one_in(2);
    let kind = Kind::new(&mut chance, has_unsortable);
    for _ in 0..DOCUMENTS {
        let document = RawDocumentBuf::try_from(&kind.document(&mut chance)).expect("BSON");
        // Leaves out ids that MongoDB considers equal.
        let _ = collection.insert_one(document).await;
    }
    for _ in 0..6 {
        let text = order(&mut chance);
        let sort = Sort::parse(&text).expect("an order");
        if chance.one_in(2) {
            // MongoDB does not allow an index over two array fields.
            let _ = collection.create_index(mongodb::IndexModel::builder().keys(sort.to_document()).build()).await;
        }
        // Nor does it sort a document by two arrays.
        let Ok(expected) = find(&collection, doc! {}, &sort, 0).await else {
            tally.unanswered += 1;
            continue;
        };
        let is_sortable = expected.iter().all(|document| sort.position_of(document).is_ok());
        let limit = 1 + chance.below(5);
        let (shown, has_failed) = pages(&collection, &sort, limit).await;
        let case = format!("seed {seed}, sort {sort}, limit {limit}");
        assert!(expected.starts_with(&shown), "{case}: {}", first_difference(&expected, &shown));
        assert_eq!(has_failed, !is_sortable, "{case}: {}", first_difference(&expected, &shown));
        if is_sortable {
            assert_eq!(shown.len(), expected.len(), "{case}: {}", first_difference(&expected, &shown));
        }
        tally.compared += usize::from(is_sortable);
        tally.failed += usize::from(!is_sortable);
    }
    collection.drop().await.expect("dropped");
}

#[tokio::test]
async fn pages_are_what_mongodb_sorts_whatever_types_meet() {
    let database = empty_database(shared().await).await;
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        round(&database, seed, &mut tally).await;
    }
    assert!(tally.compared > 50 && tally.failed > 20, "both happen: {tally:?}");
}
