//! Which patterns are accepted, and that they stay within their steps, as counted by a small engine of the same kind.

use proptest::prelude::*;

use super::alphabet::Kind;
use super::chars::Chars;
use super::expr::{Expr, Look, Repeat};
use super::read::Read;
use super::*;

fn inspect(pattern: &str, options: &str, usage: Use) -> Result<u32, Invalid> {
    Inspector::default().steps(pattern, Options::parse(options).expect("options"), usage)
}

fn steps(pattern: &str) -> Result<u32, Invalid> {
    inspect(pattern, "", Use::Plain)
}

#[test]
fn what_people_use_is_taken() {
    #[rustfmt::skip]
    let patterns = [
        "", "foo", "^foo", "foo$", "^foo$", "^$", "foo|bar|baz", "(?i)foo", "^(red|green|blue)$", "^[a-z0-9-]+$",
        "^[a-z0-9]+(?:-[a-z0-9]+)*$", r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$", r"^[\w.+-]+@[\w-]+\.[\w.-]+$", r"@example\.com$",
        r"^\d{4}-\d{2}-\d{2}$", r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
        r"^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d{2}:\d{2})$", r"^([01]?\d|2[0-3]):[0-5]\d$",
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "^[0-9a-fA-F]{24}$", "^#?([a-fA-F0-9]{6}|[a-fA-F0-9]{3})$",
        r"^\+?[0-9 ()-]{7,20}$", r"^\+[1-9]\d{1,14}$", r"^(\+\d{1,3}[- ]?)?\(?\d{3}\)?[- ]?\d{3}[- ]?\d{4}$",
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$",
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$",
        r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$", r"^(?:\d{1,3}\.){3}\d{1,3}$",
        "^(?:[0-9A-F]{2}:){5}[0-9A-F]{2}$", r"^https?://[^\s/$.?#].[^\s]*$", r"^(https?|ftp)://[^\s/]+(/[^\s]*)?$",
        r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$", r"^[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}$",
        r"^\d{5}(-\d{4})?$", r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$", r"^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|3[47]\d{13})$",
        r"^\$?\d{1,3}(,\d{3})*(\.\d{2})?$", r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$", r"^\d+$", r"^\S+$", r"^\S+\s+\S+$",
        r"^\s*$", r"^\w+( \w+)*$", "^[A-Z][a-z]+(?: [A-Z][a-z]+)*$", r"^[\p{L}\p{M} '-]+$",
        r"^\p{Lu}\p{Ll}*(-\p{Lu}\p{Ll}*)*$", "^[äöüß a-z]+$", r"\bword\b", r"\berror\b|\bwarn(ing)?\b", "(^|,)foo(,|$)",
        r"\.pdf$", r"(?i)\.(jpe?g|png|gif|webp)$", "^foo.*", "foo.*", ".*foo", ".*foo.*", "^.*foo", "^foo.*bar$",
        "foo.{0,20}bar", "[a-z]{1,20}1", "\"[^\"]*\"", "^[^<>]+$", "^.{1,500}$", "^(/[a-z0-9_-]+)+/?$",
        "^@?[A-Za-z0-9_]{1,15}$", "^[a-z]{2}(-[A-Z]{2})?$",
        "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", "^(\\w+,)*\\w+$", "^[^,]*,[^,]*,[^,]*$",
        "(?m)^foo$", "[[:alpha:]][[:digit:]]", r"[\w-]", "[a-z-_]", "[]-]", r"\x{e9}\x41\t\/\-", "x{0}a??",
    ];
    for pattern in patterns {
        assert!(steps(pattern).is_ok(), "{pattern}: {:?}", steps(pattern));
    }
    for options in ["", "i", "m", "s", "ims"] {
        assert!(inspect("^foo|bar.$", options, Use::Plain).is_ok());
    }
}

#[test]
fn what_takes_too_long_is_refused_with_the_part_that_does() {
    for (pattern, part) in [
        // From every character to the end of the text: quadratic.
        ("[a-z]+1", "\"[a-z]+\" (character 1)"),
        ("[a-z]+$", "\"[a-z]+\" (character 1)"),
        (r"^\s+|\s+$", r#""\s+" (character 6)"#),
        ("foo.*bar", "\".*\" (character 4)"),
        ("foo.*$", ".*$ at the end"),
        ("(?s).*foo.*bar", "\".*\" (character 10)"),
        ("<[^>]+>", "\"[^>]+\" (character 2)"),
        (r"\d{3,}-\d{2}", r#""\d{3,}" (character 1)"#),
        (r"(?m)^\s*#", r#""\s*" (character 6)"#),
        ("[^,]*,", "\"[^,]*\" (character 1)"),
        ("[a-z]{1,100}1", "\"[a-z]{1,100}\" (character 1)"),
        ("(?:a|b){1,20}1", "\"(?:a|b){1,20}\" (character 1)"),
        // Anchored, but still quadratic or cubic.
        ("^.+@.+$", "\".+\" (character 5)"),
        ("^.*foo.*bar", "\".*\" (character 7)"),
        ("^(.*a){3}", "(character 3)"),
        (r"^\d*[0-9]*x$", "\"[0-9]*\" (character 5)"),
        (r"^(.*?,){11}P", "\"(.*?,){11}\" (character 2)"),
        // Exponential.
        ("^(a+)+$", "\"a+\" (character 3)"),
        ("(x+x+)+y", "\"x+\""),
        (r"^(\w+\s?)+$", r#""\w+" (character 3)"#),
        ("^(a|aa)+$", "\"(a|aa)+\" (character 2)"),
        ("^(a|a)*$", "\"(a|a)*\" (character 2)"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "\"([a-z])+\" (character 3)"),
        (r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$", "(character 11)"),
        (r"^(https?://)?([\da-z.-]+)\.([a-z.]{2,6})([/\w .-]*)*/?$", r#""([/\w .-]*)*" (character 41)"#),
        ("^(a*)*$", "\"(a*)*\" (character 2)"),
        ("(|a)+", "\"(|a)+\" (character 1)"),
        // These have no unbounded repeat.
        ("^(a?){20}a{20}$", "(character 1)"),
        ("(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)c", "(character 1)"),
        ("[ab]{1,30}[bc]{1,30}[cd]{1,30}1", "\"[cd]{1,30}\""),
    ] {
        let refused = steps(pattern).expect_err(pattern);
        assert_eq!(refused.code, "pattern_too_costly", "{pattern}");
        assert!(refused.detail.contains(part), "{pattern}: {}", refused.detail);
    }
    for pattern in [
        "(?:(?:a{1,100}){1,100}){1,100}",
        "^a{0,65535}$",
        "a{0,4294967295}",
        "a{4294967295}",
        "(?:ab?){4294967295,}b",
        "foo.{0,50}bar.{0,50}baz",
    ] {
        assert_eq!(steps(pattern).expect_err(pattern).code, "pattern_too_complex", "{pattern}");
    }
}

#[test]
fn what_the_two_languages_read_otherwise_is_refused_with_its_place() {
    for (pattern, part) in [
        ("^(?=.*\\d)", "\"(?=\" (character 2) looks ahead"),
        ("(?!a)", "\"(?!\" (character 1) looks ahead"),
        ("ä(?<=a)", "\"(?<=\" (character 2) looks behind"),
        ("(?<!a)", "\"(?<!\" (character 1) looks behind"),
        ("(?>a)", "\"(?>\" (character 1) is an atomic group"),
        ("(?|a)", "\"(?|\" (character 1)"),
        ("(?#a)", "\"(?#\" (character 1) is a comment"),
        ("(?(1)a)", "\"(?(\" (character 1) is a condition"),
        ("(?R)", "\"(?R\" (character 1) repeats the pattern"),
        ("a(?&b)", "\"(?&\" (character 2) repeats a group"),
        ("(?P>b)", "\"(?P>\" (character 1) repeats a group"),
        ("(?P=b)", "\"(?P=\" (character 1) refers back"),
        ("(*UCP)\\w", "\"(*\" (character 1) is an order"),
        ("(a)\\1", "\"\\1\" (character 4) refers back"),
        ("a\\Qb", "\"\\Q\" (character 2)"),
        ("a\\Z", "\"\\Z\" (character 2) is not supported: write $"),
        ("\\<a", "\"\\<\" (character 1)"),
        ("\\b{start}a", "(character 1)"),
        ("[\\v]", "\"\\v\" (character 2)"),
        ("[a\\b]", "\"\\b\" (character 3)"),
        ("a\\Kb", "\"\\K\" (character 2)"),
        ("\\u00e9", "\"\\u00e9\" (character 1)"),
        ("\\u{e9}", "(character 1)"),
        ("\\U000000e9", "(character 1)"),
        ("a++", "\"+\" (character 3) follows another repeat"),
        ("a*+", "\"+\" (character 3) follows another repeat"),
        ("a{2}{3}", "\"{3}\" (character 5) follows another repeat"),
        ("^*", "\"*\" (character 2) has nothing to repeat"),
        ("\\b?", "\"?\" (character 3) has nothing to repeat"),
        ("*a", "\"*\" (character 1) has nothing to repeat"),
        ("a{,3}", "write {2}"),
        ("a{ 2 }", "\"{ 2 }\" (character 2) has a space"),
        ("a{", "write {2}"),
        ("(?x)a b", "\"x\" (character 3) is not supported as an option"),
        ("(?U)a", "\"U\" (character 3)"),
        ("(?u)a", "\"u\" (character 3)"),
        ("[a&&b]", "(character 2)"),
        ("[a--b]", "(character 2)"),
        ("[a~~b]", "(character 2)"),
        ("[[a]]", "\"[a]\" (character 2)"),
        ("[--a]", "\"-\" (character 2) is not clear"),
        ("[]-a]", "\"-\" (character 3) is not clear"),
        ("[[:alpha:]-z]", "\"-\" (character 11) is not clear"),
        ("[!-[:alpha:]]", "(character 2)"),
        ("[\\w-.]", "write \\- for the character"),
    ] {
        let refused = steps(pattern).expect_err(pattern);
        assert_eq!(refused.code, "unsupported_pattern", "{pattern}: {}", refused.detail);
        assert!(refused.detail.contains(part), "{pattern}: {}", refused.detail);
    }
    #[rustfmt::skip]
    let escapes = ["\\012", "\\h", "\\v", "\\R", "\\X", "\\C", "\\Ga", "\\N", "\\e", "\\o{101}", "\\k<a>", "\\g1", "\\cA"];
    for pattern in escapes {
        let refused = steps(pattern).expect_err(pattern);
        assert_eq!(refused.code, "unsupported_pattern", "{pattern}: {}", refused.detail);
        assert!(
            refused.detail.contains(&format!("\"{}\" (character 1)", &pattern[..2])),
            "{pattern}: {}",
            refused.detail
        );
    }
    for pattern in ["(", "a)", "[a", "[z-a]", "a{3,2}", "\\", "(?<n>a)(?<n>b)"] {
        assert_eq!(steps(pattern).expect_err(pattern).code, "invalid_value", "{pattern}");
    }
    assert_eq!(Options::parse("ix").expect_err("x").code, "unsupported_pattern");
    assert_eq!(Options::parse("g").expect_err("g").code, "invalid_characters");
}

#[test]
fn options_tell_what_a_pattern_means() {
    // Whether the two repeats overlap depends on case, and on what `.` matches.
    for (pattern, letters) in [("^a*b*A*x$", "i"), ("^.*\\n.*x$", "s")] {
        let inline = format!("(?{letters}){pattern}");
        let grouped = format!("(?{letters}:{pattern})");
        assert!(steps(pattern).is_ok(), "{pattern}");
        for costly in [steps(&inline), steps(&grouped), inspect(pattern, letters, Use::Plain)] {
            assert_eq!(costly.map_err(|why| why.code), Err("pattern_too_costly"), "{pattern}");
        }
        assert!(steps(&format!("(?:(?{letters})){pattern}")).is_ok(), "an option ends with its group");
        assert!(inspect(&format!("(?-{letters}){pattern}"), letters, Use::Plain).is_ok());
    }
    assert!(inspect("^a*x", "m", Use::Plain).is_ok());
    assert!(inspect(r"^\s*x", "m", Use::Plain).is_err(), "each of many empty lines begins a search");
}

#[test]
fn each_way_to_the_same_place_counts() {
    let (once, often) = (steps("^[ab]*x").expect("taken"), steps("^(?:|)(?:|)(?:|)[ab]*x").expect("taken"));
    assert!(often >= 8 * once, "{once}, {often}");
}

#[test]
fn what_stands_behind_something_is_tried_everywhere() {
    assert!(inspect(".*foo", "", Use::Behind).expect_err("costly").detail.contains("leave out .*"));
    assert!(inspect("^.*foo", "", Use::Behind).is_ok());
    assert!(inspect("foo", "", Use::Behind).expect("taken") > steps("foo").expect("taken"));
}

#[test]
fn many_patterns_together_are_not_looked_at_for_long() {
    let mut inspector = Inspector::default();
    let codes: Vec<_> = (0..200)
        .map(|_| inspector.steps("foo.{0,50}bar.{0,50}baz", Options::default(), Use::Plain).expect_err("complex").code)
        .collect();
    assert!(codes.iter().all(|code| *code == "pattern_too_complex"));
    assert_eq!(inspector.steps("a", Options::default(), Use::Plain).expect_err("no fuel").code, "pattern_too_complex");
    let mut inspector = Inspector::default();
    for _ in 0..200 {
        inspector.steps(r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", Options::default(), Use::Plain).expect("taken");
    }
}

/// An engine that tries one way after another, as PCRE does without its optimizations, and counts its steps.
struct Engine<'t> {
    sets: &'t [Chars],
    text: &'t [char],
    is_lazy: bool,
    /// The result of checks other than `^` and `\A`.
    looks: fn(usize, usize) -> bool,
    steps: u64,
    most: u64,
}

type After<'a, 't> = &'a mut dyn FnMut(&mut Engine<'t>, usize) -> bool;

impl<'t> Engine<'t> {
    fn search(&mut self, expr: &Expr) -> bool {
        let starts = expr.starts();
        (0..=self.text.len()).any(|at| {
            let begins = at == 0
                || match starts {
                    Starts::Everywhere => true,
                    Starts::Lines => self.text[at - 1] == '\n',
                    Starts::Once => false,
                };
            begins && self.run(expr, at, &mut |_, _| true)
        })
    }

    fn count(&mut self, steps: u64) {
        self.steps += steps;
    }

    fn run(&mut self, expr: &Expr, at: usize, after: After<'_, 't>) -> bool {
        if self.steps > self.most {
            return false;
        }
        match expr {
            Expr::Empty => after(self, at),
            Expr::Char(set) => {
                self.count(1);
                let reads = self.text.get(at).is_some_and(|c| holds(&self.sets[*set], *c));
                reads && after(self, at + 1)
            }
            Expr::Look(look) => {
                self.count(2);
                let is_so = match look {
                    Look::TextStart => at == 0,
                    Look::LineStart => at == 0 || self.text[at - 1] == '\n',
                    Look::Other => (self.looks)(at, self.text.len()),
                };
                is_so && after(self, at)
            }
            Expr::Group(alternatives) => alternatives.iter().any(|alternative| {
                self.count(5);
                self.run(alternative, at, &mut |engine, at| {
                    engine.count(2);
                    after(engine, at)
                })
            }),
            Expr::Sequence(parts) => self.sequence(parts, at, after),
            Expr::Repeat(repeat) => self.repeat(repeat, 0, at, after),
        }
    }

    fn sequence(&mut self, parts: &[Expr], at: usize, after: After<'_, 't>) -> bool {
        match parts.split_first() {
            None => after(self, at),
            Some((first, rest)) => self.run(first, at, &mut |engine, at| engine.sequence(rest, at, after)),
        }
    }

    fn repeat(&mut self, repeat: &Repeat, turns: u32, at: usize, after: After<'_, 't>) -> bool {
        if turns < repeat.min {
            return self.run(&repeat.inner, at, &mut |engine, at| engine.repeat(repeat, turns + 1, at, after));
        }
        if repeat.max.is_some_and(|max| turns >= max) {
            return self.leave(repeat, turns, at, after);
        }
        self.count(5);
        let is_lazy = self.is_lazy;
        if is_lazy && self.leave(repeat, turns, at, after) {
            return true;
        }
        self.run(&repeat.inner, at, &mut |engine, at| engine.repeat(repeat, turns + 1, at, after))
            || (!is_lazy && self.leave(repeat, turns, at, after))
    }

    /// Nested counted groups are left one by one.
    fn leave(&mut self, repeat: &Repeat, turns: u32, at: usize, after: After<'_, 't>) -> bool {
        let is_nested = repeat.max.is_some() && !matches!(repeat.inner, Expr::Char(_));
        self.count(if is_nested { 2 * u64::from(turns - repeat.min) } else { 0 });
        after(self, at)
    }
}

fn holds(set: &Chars, c: char) -> bool {
    set.may_hold().ranges().iter().any(|range| range.start() <= c && c <= range.end())
}

/// A parsed pattern, for counting.
struct Subject {
    read: Read,
    kinds: Vec<Kind>,
    steps: Result<u32, Invalid>,
}

impl Subject {
    fn new(pattern: &str, options: &str, usage: Use) -> Option<Self> {
        let mut fuel = Fuel::full();
        let options = Options::parse(options).expect("options");
        let read = read::read(Refusal { pattern }, options, &mut fuel).ok()?.used(usage);
        let kinds = alphabet::kinds(&read.sets, &mut fuel).expect("few");
        let steps = Inspector::default().steps(pattern, options, usage);
        Some(Self { read, kinds, steps })
    }

    /// The steps that the engine counts, for each of its modes.
    fn counted(&self, text: &[char], most: u64) -> u64 {
        let looks: [fn(usize, usize) -> bool; 4] =
            [|at, length| at == length, |_, _| true, |_, _| false, |at, _| at % 3 != 1];
        let manners = looks.into_iter().flat_map(|looks| [(looks, false), (looks, true)]);
        let counted = manners.map(|(looks, is_lazy)| {
            let mut engine = Engine { sets: &self.read.sets, text, is_lazy, looks, steps: 0, most };
            engine.search(&self.read.expr);
            engine.steps
        });
        counted.max().expect("eight")
    }

    /// A text that causes much work: each character produces the heaviest load without ending the search.
    fn hard_text(&self, length: usize) -> Vec<char> {
        let mut fuel = Fuel::full();
        let machine = Machine::build(&self.read.expr, &self.read.sets, &mut fuel).expect("small");
        let walk = Walk::new(&machine, &self.kinds, machine.search);
        let mut load = walk.first();
        let mut text = Vec::new();
        for _ in 0..length {
            let next =
                self.kinds.iter().filter_map(|kind| Some((walk.next(&load, kind, &mut fuel).ok()?, kind.sample)));
            let Some((heaviest, c)) = next.filter(|(load, _)| !walk.has_end(load)).max_by_key(|(load, _)| load.steps)
            else {
                break;
            };
            load = heaviest;
            text.push(c);
        }
        text
    }
}

#[test]
fn the_engine_takes_more_steps_than_allowed_where_a_pattern_is_refused() {
    for (pattern, unit) in [
        ("[a-z]+1", "a"),
        ("foo.*bar", "foo"),
        ("^.+@.+$", "@"),
        (r"\s+$", " "),
        ("^(a+)+$", "a"),
        ("^(a|aa)+$", "a"),
        ("(x+x+)+y", "x"),
        ("^(a?){20}a{20}$", "a"),
        (r"^(\w+\s?)+$", "ab "),
    ] {
        let subject = Subject::new(pattern, "", Use::Plain).expect("read");
        assert!(subject.steps.is_err(), "{pattern}");
        let text: Vec<char> = unit.chars().cycle().take(600).chain(['\u{1}']).collect();
        let allowed = u64::from(STEPS_MAX) * (text.len() as u64 + 1);
        assert!(subject.counted(&text, allowed) > allowed, "{pattern}");
    }
}

/// Patterns of all forms.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", "ab", "ba", "[ab]", "[^a]", ".", "\\d", "\\n", "1", "^", "$", "\\b", "\\A", "(?i)", "A", "", "(?:|)",
        "(?:|){3}",
    ]);
    let count = prop::sample::select(vec!["*", "+", "?", "{2}", "{1,3}", "{0,4}", "{2,}", "*?", "+?", "??", "{1,3}?"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 12, 3, move |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            2 => (inner.clone(), count.clone()).prop_map(|(inner, count)| format!("(?:{inner}){count}")),
            2 => (prop::sample::select(vec!["a", "b", "[ab]", ".", "1"]), count.clone())
                .prop_map(|(inner, count)| format!("{inner}{count}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn what_is_taken_keeps_to_its_steps(
        pattern in pattern(),
        options in prop::sample::select(vec!["", "i", "m", "s", "ms"]),
        usage in prop::sample::select(vec![Use::Plain, Use::Behind]),
        text in prop::collection::vec(prop::sample::select(vec!['a', 'b', 'A', '1', '\n', 'x']), 0..40),
    ) {
        let Some(subject) = Subject::new(&pattern, options, usage) else { return Ok(()) };
        let Ok(steps) = subject.steps else { return Ok(()) };
        let mut hard = subject.hard_text(60);
        hard.push('\u{1}');
        for text in [text, hard] {
            let allowed = u64::from(steps) * (text.len() as u64 + 1);
            prop_assert!(subject.counted(&text, allowed) <= allowed, "{pattern:?} takes more than {steps} a character on {text:?}");
        }
    }
}
