//! Patterns: which are refused, that MongoDB reads them as the analysis does, and that the analysis bounds its work.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Collection;
use serde_json::json;
use tenantry::domain::pattern::{Inspector, Options, Use};

use super::Org;
use super::paging::Chance;
use crate::support::Server;
use crate::support::mongo::{Mongod, shared};
use crate::support::server::empty_database;

#[tokio::test]
async fn a_filter_with_a_pattern_that_takes_too_long_is_refused_with_its_place() {
    let server = Server::start().await;
    let org = Org::new(&server, "costly").await;
    org.insert(&json!({ "_id": 1, "t": "x".repeat(200_000) })).await.success(201);
    let costly = json!({ "$or": [{ "t": { "$regex": "^y" } }, { "t": { "$not": { "$regex": "[a-z]+1" } } }] });
    let answer = org.list(&[("filter", &costly.to_string())]).await;
    let detail = answer.body["errors"][0]["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("\"[a-z]+\" (character 1)") && detail.contains('^'), "{detail}");
    answer.invalid(&["?filter/$or/1/t/$not/$regex pattern_too_costly"]);
    for (filter, expected) in [
        (json!({ "t": { "$regex": "(?=x)" } }), "?filter/t/$regex unsupported_pattern"),
        (json!({ "t": { "$regex": "x", "$options": "x" } }), "?filter/t/$options unsupported_pattern"),
        (json!({ "t": { "$regex": "foo.{0,50}bar.{0,50}baz" } }), "?filter/t/$regex pattern_too_complex"),
        (
            json!({ "$and": [{ "t": { "$regex": "[a-z]{1,20}1" } }, { "t": { "$regex": "[a-z]{1,20}2" } }] }),
            "?filter/$and/1/t/$regex pattern_too_costly",
        ),
    ] {
        org.list(&[("filter", &filter.to_string())]).await.invalid(&[expected]);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter.to_string()).finish();
        org.get(&format!("export?{query}")).await.invalid(&[expected]);
    }
}

#[tokio::test]
async fn a_schema_with_a_pattern_that_takes_too_long_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let org = Org::new(&server, "schemas").await;
    let good = json!({ "properties": { "email": { "pattern": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$" } } });
    org.call("PUT", "schema").json(&good).send().await.success(200);
    let bad = json!({
        "properties": { "a": { "pattern": "^(a+)+$" }, "b": { "pattern": "(?=.*[0-9]).{8,}" } },
        "patternProperties": { "[a-z]+1": {}, ".*foo": {} },
    });
    org.call("PUT", "schema").json(&bad).send().await.invalid(&[
        "/patternProperties/.*foo pattern_too_costly",
        "/patternProperties/[a-z]+1 pattern_too_costly",
        "/properties/a/pattern pattern_too_costly",
        "/properties/b/pattern unsupported_pattern",
    ]);
    let together = json!({ "properties": { "a": { "allOf": [
        { "pattern": "[a-z]{1,20}1" }, { "pattern": "[a-z]{1,20}2" },
    ] } } });
    org.call("PUT", "schema?dry_run=true").json(&together).send().await.invalid(&[" pattern_too_costly"]);
    assert_eq!(org.get("schema").await.success(200).body, good);
    org.insert(&json!({ "email": "nobody" })).await.problem(422, "schema_violated");
    org.insert(&json!({ "email": "a@b.cd" })).await.success(201);
}

/// The analysis's assumptions: which texts each pattern matches, and which not.
#[tokio::test]
async fn mongodb_reads_patterns_as_the_analysis_does() {
    let texts = empty_database(shared().await).await.collection::<Document>("texts");
    for (pattern, options, matching, others) in [
        (r"^\s$", "", &["\t", "\u{b}", " "][..], &["\u{85}", "\u{a0}", "\u{2003}"][..]),
        (r"^\S$", "", &["\u{a0}", "a"], &["\u{b}"]),
        (r"^\w$", "", &["a", "_", "9"], &["é", "-"]),
        (r"^\d$", "", &["0"], &["٣"]),
        ("^[[:alpha:]]$", "", &["a"], &["é", ":"]),
        (r"^.\z", "", &["\r", "\u{85}", "\u{2028}", "é"], &["\n"]),
        (r"^.\z", "s", &["\n"], &[]),
        ("^a$", "", &["a", "a\n"], &["a\nb", "b\na"]),
        ("^a$", "m", &["a\nb", "b\na"], &["ab"]),
        (r"\Aa\z", "m", &["a"], &["a\nb", "b\na"]),
        ("^k$", "i", &["K", "\u{212a}"], &["c"]),
        ("^s$", "i", &["ſ"], &["z"]),
        ("^é$", "i", &["É"], &["e"]),
        ("^[^k]$", "i", &["c"], &["k", "K", "\u{212a}"]),
        ("^[[:upper:]]$", "i", &["a"], &["1"]),
        (r"^\p{Lu}$", "", &["A", "É"], &["a", "1"]),
        ("^a(?i)b|c$", "", &["aB", "C"], &["AB"]),
        ("^(?:a(?i)b)c$", "", &["aBc"], &["abC"]),
        ("^[a-c-e]$", "", &["-", "e"], &["d"]),
        ("^[a-z-_]$", "", &["-", "_"], &["^"]),
        ("^[-a]$", "", &["-"], &["b"]),
        ("^[]-]$", "", &["]", "-"], &["["]),
        (r"^[\w-]$", "", &["-"], &["."]),
        ("^a{2}?$", "", &["aa"], &["a"]),
        ("^a]}$", "", &["a]}"], &["a"]),
        (r"^\x{e9}\x41\/\-\_\%$", "", &["éA/-_%"], &[]),
        ("^a{0}b$", "", &["b"], &["ab"]),
    ] {
        let taken = Inspector::default().steps(pattern, Options::parse(options).expect("options"), Use::Plain);
        assert!(taken.is_ok(), "{pattern}: {taken:?}");
        for (text, expected) in matching.iter().map(|text| (text, 1)).chain(others.iter().map(|text| (text, 0))) {
            texts.delete_many(doc! {}).await.expect("MongoDB");
            texts.insert_one(doc! { "t": text }).await.expect("MongoDB");
            let asked = doc! { "t": { "$regex": pattern, "$options": options } };
            assert_eq!(texts.count_documents(asked).await.expect("MongoDB"), expected, "{pattern:?} {text:?}");
        }
    }
}

/// Handwritten patterns that take many steps, in addition to the generated ones.
const HARD: [&str; 14] = [
    "[a-z]{1,20}1",
    "[ab1]{1,30}1",
    "foo.{0,20}bar",
    "(?:a|b){1,6}1",
    "(?:a|a)(?:a|a)(?:a|a)c",
    "(?:b|b|b|b|b|b|b|b|b|b|b|b|b|b|b|b|b|b|b|b)c",
    "((((((((((a))))))))))c",
    ".*foo",
    "(?s).*ab.{0,9}1",
    "^(?:[ab]{1,20},)*1",
    "(^|,)(?:a|b)*1",
    "(?i)[a-zà-ÿ]{1,20}1",
    r"^\w+(,\w+)*$",
    r"^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.)+[a-z]{2,}$",
];

/// A pattern over few characters, so that its parts compete.
fn generated(chance: &mut Chance, depth: usize) -> String {
    let repeats = ["*", "+", "?", "{2}", "{1,3}", "{0,9}", "{3,}", "*?", ""];
    match chance.below(if depth == 0 { 1 } else { 5 }) {
        0 => chance.pick(&["a", "b", "[ab]", ".", "1", "[^1]", "ab", r"\w", ",", r"\b"]).to_owned(),
        1 => format!("(?:{}){}", generated(chance, depth - 1), chance.pick(&repeats)),
        2 => format!("(?:{}|{})", generated(chance, depth - 1), generated(chance, depth - 1)),
        3 => format!("{}{}", chance.pick(&["a", "b", "[ab]", ".", r"\w"]), chance.pick(&repeats)),
        _ => format!("{}{}", generated(chance, depth - 1), generated(chance, depth - 1)),
    }
}

/// The accepted patterns with the most steps among many generated ones, and the handwritten ones.
fn hard_patterns() -> Vec<(String, u32)> {
    let mut chance = Chance(13);
    let mut patterns: Vec<String> = (0..600)
        .map(|_| {
            let (start, end) = (chance.pick(&["", "^", "(^|,)"]), chance.pick(&["", "1", "$", ",1$"]));
            format!("{start}{}{end}", generated(&mut chance, 4))
        })
        .filter(|pattern| pattern.len() < 200)
        .collect();
    patterns.sort();
    patterns.dedup();
    let steps = |pattern: &str| Inspector::default().steps(pattern, Options::default(), Use::Plain).ok();
    let mut taken: Vec<_> = patterns.into_iter().filter_map(|p| steps(&p).map(|steps| (p, steps))).collect();
    assert!(taken.len() > 100, "only {} are taken", taken.len());
    taken.sort_by_key(|(_, steps)| std::cmp::Reverse(*steps));
    taken.truncate(16);
    taken.extend(HARD.map(|pattern| (pattern.to_owned(), steps(pattern).expect(pattern))));
    taken
}

/// Short words to repeat in a text.
fn words() -> Vec<String> {
    let letters = ["a", "b", "1", ",", "foo", "ab,", "\n"];
    let pairs = letters.iter().flat_map(|first| letters.map(|second| format!("{first}{second}")));
    let runs = ["a", "b", "ab"].map(|word| word.repeat(15) + ",").into_iter();
    letters.map(str::to_owned).into_iter().chain(pairs).chain(runs).chain(["é".to_owned(), "a-b.".to_owned()]).collect()
}

/// A text of about so many bytes that repeats a word, but ends differently.
fn text(word: &str, bytes: usize) -> String {
    word.repeat(bytes / word.len()) + "\u{1}"
}

/// The test's own mongod, to measure its work for one pattern on one document.
struct Bench {
    mongod: Mongod,
    texts: Collection<Document>,
}

impl Bench {
    async fn new() -> Self {
        let mongod = Mongod::started().await;
        let texts = mongod.client().await.database("patterns").collection("texts");
        Self { mongod, texts }
    }

    async fn put(&self, id: &str, text: String) {
        self.texts.replace_one(doc! { "_id": id }, doc! { "t": text }).upsert(true).await.expect("MongoDB");
    }

    /// The processor time, the least of several runs, because mongod does other work too.
    async fn work(&self, pattern: &str, id: &str, times: usize) -> Duration {
        let mut least = Duration::MAX;
        for _ in 0..times {
            let before = self.mongod.used();
            let asked = doc! { "_id": id, "t": { "$regex": pattern } };
            self.texts.find_one(asked).await.expect("MongoDB");
            least = least.min(self.mongod.used().saturating_sub(before));
        }
        least
    }

    /// The work for a text of this length, and for one twice as long.
    async fn doubled(&self, pattern: &str, word: &str, bytes: usize) -> [Duration; 2] {
        self.put("once", text(word, bytes)).await;
        self.put("twice", text(word, 2 * bytes)).await;
        [self.work(pattern, "once", 3).await, self.work(pattern, "twice", 3).await]
    }
}

#[tokio::test]
async fn the_work_for_a_pattern_that_is_taken_at_most_doubles_with_the_text() {
    let bench = Bench::new().await;
    let words = words();
    for word in &words {
        bench.put(word, text(word, 4_000)).await;
    }
    for (pattern, steps) in hard_patterns() {
        let mut worst = (Duration::ZERO, "");
        for word in &words {
            worst = worst.max((bench.work(&pattern, word, 2).await, word));
        }
        let [once, twice] = bench.doubled(&pattern, worst.1, 200_000).await;
        println!("{pattern} {steps} {:?} {once:?} {twice:?}", worst.1);
        // The query itself takes a few milliseconds.
        let own = Duration::from_millis(15);
        assert!(twice < once * 3 + own, "{pattern} on {:?}: {once:?}, then {twice:?}", worst.1);
        let bound = Duration::from_nanos(u64::from(steps) * 400_000 * 20);
        assert!(twice < bound + own, "{pattern} on {:?}: {twice:?} are more than {steps} steps", worst.1);
    }
}

#[tokio::test]
async fn the_work_for_a_pattern_that_is_refused_grows_faster_than_the_text() {
    let bench = Bench::new().await;
    for (pattern, word, bytes) in [("[a-z]+1", "x", 15_000), ("foo.*bar", "foo", 20_000)] {
        let refused = Inspector::default().steps(pattern, Options::default(), Use::Plain);
        assert_eq!(refused.expect_err(pattern).code, "pattern_too_costly");
        let [once, twice] = bench.doubled(pattern, word, bytes).await;
        println!("{pattern} {once:?} {twice:?}");
        assert!(twice > once * 3, "{pattern}: {once:?}, then {twice:?}");
    }
}
