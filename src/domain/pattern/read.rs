//! Parses a pattern as PCRE does, or refuses it.
//!
//! The parser is for another dialect. Whatever PCRE reads differently is refused here, case by case; whatever the
//! parser does not know, it refuses itself. So no construct is accepted unless its meaning was checked.

use std::ops::Range;

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassBracketed, ClassPerl, ClassSet, ClassSetItem, ClassUnicode, ClassUnicodeKind,
    Flag, Flags, FlagsItemKind, Group, GroupKind, HexLiteralKind, Literal, LiteralKind, Repetition, RepetitionKind,
    RepetitionRange, Span, SpecialLiteralKind,
};

use super::chars::Chars;
use super::expr::{Expr, Look, Repeat, Starts};
use super::fuel::Fuel;
use super::refusal::Refusal;
use super::{Options, Use, too_complex};
use crate::domain::Invalid;

/// How deep groups may be nested.
const NEST_MAX: u32 = 50;

/// About how many characters have two cases.
const CASED_MAX: u32 = 3_000;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) expr: Expr,
    /// The character sets that the expression refers to by number.
    pub(super) sets: Vec<Chars>,
}

impl Read {
    /// What MongoDB matches when it uses the pattern this way.
    pub(super) fn used(mut self, usage: Use) -> Self {
        if usage == Use::Behind {
            self.sets.push(Chars::any());
            let inner = Expr::Char(self.sets.len() - 1);
            let skipped = Repeat { inner, min: 0, max: None, place: None, starts: Starts::Everywhere };
            let before = [Expr::Look(Look::TextStart), Expr::Repeat(Box::new(skipped))];
            self.expr = Expr::Sequence(before.into_iter().chain([self.expr]).collect());
        }
        self
    }
}

/// Reads a pattern.
pub(super) fn read(refusal: Refusal<'_>, options: Options, fuel: &mut Fuel) -> Result<Read, Invalid> {
    let parsed = ParserBuilder::new().nest_limit(NEST_MAX).build().parse(refusal.pattern);
    let ast = parsed.map_err(|error| refusal.syntax(&error))?;
    let mut reader = PatternReader { refusal, options, sets: Vec::new(), fuel };
    let expr = match reader.expr(&ast)? {
        group @ Expr::Group(_) => group,
        other => Expr::Group(vec![other]),
    };
    Ok(Read { expr, sets: reader.sets })
}

struct PatternReader<'p> {
    refusal: Refusal<'p>,
    /// The options in effect at this place of the pattern.
    options: Options,
    sets: Vec<Chars>,
    fuel: &'p mut Fuel,
}

impl PatternReader<'_> {
    fn expr(&mut self, ast: &Ast) -> Result<Expr, Invalid> {
        match ast {
            Ast::Empty(_) => Ok(Expr::Empty),
            Ast::Flags(set) => self.set_options(&set.flags).map(|()| Expr::Empty),
            Ast::Literal(literal) => self.literal(literal).and_then(|set| self.char(set)),
            Ast::Dot(_) if self.options.dot_is_all => self.char(Chars::any()),
            Ast::Dot(_) => self.char(Chars::all_but_line_feed()),
            Ast::Assertion(assertion) => self.look(assertion),
            Ast::ClassUnicode(class) => self.char(self.property(class)),
            Ast::ClassPerl(class) => self.char(perl(class)),
            Ast::ClassBracketed(class) => self.class(class).and_then(|set| self.char(set)),
            Ast::Repetition(repetition) => self.repeat(repetition),
            Ast::Group(group) => self.group(group),
            Ast::Alternation(alternation) => self.each(&alternation.asts).map(Expr::Group),
            Ast::Concat(concat) => self.each(&concat.asts).map(Expr::Sequence),
        }
    }

    fn each(&mut self, asts: &[Ast]) -> Result<Vec<Expr>, Invalid> {
        asts.iter().map(|ast| self.expr(ast)).collect()
    }

    fn char(&mut self, set: Chars) -> Result<Expr, Invalid> {
        self.fuel.burn(u32::try_from(self.sets.len()).unwrap_or(u32::MAX)).map_err(too_complex)?;
        let known = self.sets.iter().position(|known| *known == set);
        Ok(Expr::Char(known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        })))
    }

    /// Options set within a group end with it.
    fn group(&mut self, group: &Group) -> Result<Expr, Invalid> {
        let around = self.options;
        if let GroupKind::NonCapturing(flags) = &group.kind {
            self.set_options(flags)?;
        }
        let inner = self.expr(&group.ast)?;
        self.options = around;
        Ok(match (&*group.ast, inner) {
            (Ast::Alternation(_), alternatives) => alternatives,
            (_, single) => Expr::Group(vec![single]),
        })
    }

    fn set_options(&mut self, flags: &Flags) -> Result<(), Invalid> {
        let mut value = true;
        for item in &flags.items {
            match &item.kind {
                FlagsItemKind::Negation => value = false,
                FlagsItemKind::Flag(Flag::CaseInsensitive) => self.options.ignores_case = value,
                FlagsItemKind::Flag(Flag::MultiLine) => self.options.has_lines = value,
                FlagsItemKind::Flag(Flag::DotMatchesNewLine) => self.options.dot_is_all = value,
                // This option is never on.
                FlagsItemKind::Flag(Flag::IgnoreWhitespace) if !value => {}
                FlagsItemKind::Flag(_) => return Err(self.refusal.option(range(&item.span))),
            }
        }
        Ok(())
    }

    fn look(&self, assertion: &Assertion) -> Result<Expr, Invalid> {
        Ok(Expr::Look(match assertion.kind {
            AssertionKind::StartLine if self.options.has_lines => Look::LineStart,
            AssertionKind::StartLine | AssertionKind::StartText => Look::TextStart,
            AssertionKind::EndLine
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary => Look::Other,
            AssertionKind::WordBoundaryStartAngle | AssertionKind::WordBoundaryEndAngle => {
                let why = "is not supported: write \\b for a word's edge";
                return Err(self.refusal.unsupported(range(&assertion.span), why));
            }
            AssertionKind::WordBoundaryStart
            | AssertionKind::WordBoundaryEnd
            | AssertionKind::WordBoundaryStartHalf
            | AssertionKind::WordBoundaryEndHalf => {
                return Err(self.refusal.unsupported(range(&assertion.span), "is not supported: write \\b"));
            }
        }))
    }

    fn repeat(&mut self, repetition: &Repetition) -> Result<Expr, Invalid> {
        let operator = range(&repetition.op.span);
        // The parser allows spaces among the digits, where PCRE reads plain text.
        if self.refusal.pattern.get(operator.clone()).is_none_or(|text| text.contains(char::is_whitespace)) {
            return Err(self.refusal.unsupported(operator, "has a space in it: write {2}, {2,} or {2,5}"));
        }
        match *repetition.ast {
            Ast::Repetition(_) => {
                let why =
                    "follows another repeat, which is not supported: leave it out, or put a group around the inner one";
                return Err(self.refusal.unsupported(operator, why));
            }
            Ast::Assertion(_) => return Err(self.refusal.unsupported(operator, "has nothing to repeat: leave it out")),
            _ => {}
        }
        let (min, max) = counts(&repetition.op.kind);
        let starts = match (&*repetition.ast, min, max) {
            (Ast::Dot(_), 0, None) if self.options.dot_is_all => Starts::Once,
            (Ast::Dot(_), 0, None) => Starts::Lines,
            _ => Starts::Everywhere,
        };
        let inner = self.expr(&repetition.ast)?;
        let place = range(&repetition.span);
        if max.is_none() && inner.can_be_empty() {
            let why = "repeats without limit what can be empty, which can match the same text in endless ways: let \
                       each turn take at least one character";
            return Err(self.refusal.too_costly(place, why));
        }
        Ok(Expr::Repeat(Box::new(Repeat { inner, min, max, place: Some(place), starts })))
    }

    fn literal(&mut self, literal: &Literal) -> Result<Chars, Invalid> {
        let foreign = matches!(
            literal.kind,
            LiteralKind::Octal
                | LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
                | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
                | LiteralKind::Special(SpecialLiteralKind::VerticalTab | SpecialLiteralKind::Space)
        );
        if foreign {
            return Err(self.refusal.escape(range(&literal.span)));
        }
        self.chars(literal.c, literal.c)
    }

    /// A range of characters. Finding all cases of a large alphabet takes milliseconds.
    fn chars(&mut self, first: char, last: char) -> Result<Chars, Invalid> {
        if self.options.ignores_case {
            let folded = u32::from(last).saturating_sub(u32::from(first)).min(CASED_MAX);
            self.fuel.burn(100 * (folded + 1) + folded * folded / 2).map_err(too_complex)?;
        }
        Ok(Chars::range(first, last, self.options.ignores_case))
    }

    fn property(&self, class: &ClassUnicode) -> Chars {
        let mut letter = [0; 4];
        let name = match &class.kind {
            ClassUnicodeKind::OneLetter(name) => name.encode_utf8(&mut letter),
            ClassUnicodeKind::Named(name) => name.as_str(),
            // PCRE 8 does not know these; treat them as any character.
            ClassUnicodeKind::NamedValue { .. } => "",
        };
        let set = Chars::property(name, self.options.ignores_case);
        if class.negated { set.negated() } else { set }
    }

    fn class(&mut self, class: &ClassBracketed) -> Result<Chars, Invalid> {
        let items = match &class.kind {
            ClassSet::Item(ClassSetItem::Union(union)) => union.items.as_slice(),
            ClassSet::Item(single) => std::slice::from_ref(single),
            ClassSet::BinaryOp(operation) => {
                let why = "is not supported in a class of characters: put a backslash before &, - and ~";
                return Err(self.refusal.unsupported(range(&operation.span), why));
            }
        };
        let opening = class.span.start.offset + 1 + usize::from(class.negated);
        let mut set = Chars::none();
        let mut is_after_range = false;
        for item in items {
            self.check_hyphen(item, opening, is_after_range)?;
            set.extend(&self.item(item)?);
            is_after_range = matches!(item, ClassSetItem::Range(_));
        }
        Ok(if class.negated { set.negated() } else { set })
    }

    /// A bare hyphen is literal in both dialects when it comes first, last, or after a range. Two hyphens are a range
    /// in only one of them.
    fn check_hyphen(&self, item: &ClassSetItem, opening: usize, is_after_range: bool) -> Result<(), Invalid> {
        let ClassSetItem::Literal(Literal { kind: LiteralKind::Verbatim, c: '-', span }) = item else {
            return Ok(());
        };
        let next = self.refusal.pattern.as_bytes().get(span.end.offset);
        let is_free = span.start.offset == opening || is_after_range;
        if next == Some(&b']') || (is_free && next != Some(&b'-')) {
            return Ok(());
        }
        Err(self.refusal.unsupported(range(span), "is not clear here: write \\- for the character"))
    }

    fn item(&mut self, item: &ClassSetItem) -> Result<Chars, Invalid> {
        match item {
            ClassSetItem::Empty(_) => Ok(Chars::none()),
            ClassSetItem::Literal(literal) => self.literal(literal),
            ClassSetItem::Range(ends) => {
                self.literal(&ends.start)?;
                self.literal(&ends.end)?;
                let is_bracket = |end: &Literal| end.kind == LiteralKind::Verbatim && matches!(end.c, '[' | ']');
                if is_bracket(&ends.start) || is_bracket(&ends.end) {
                    return Err(self
                        .refusal
                        .unsupported(range(&ends.span), "is not clear: write \\[ for the character"));
                }
                self.chars(ends.start.c, ends.end.c)
            }
            ClassSetItem::Ascii(class) => {
                let set = Chars::posix(&class.kind, self.options.ignores_case);
                Ok(if class.negated { set.negated() } else { set })
            }
            ClassSetItem::Unicode(class) => Ok(self.property(class)),
            ClassSetItem::Perl(class) => Ok(perl(class)),
            ClassSetItem::Bracketed(class) => {
                let why =
                    "is a class of characters inside of another, which is not supported: write \\[ for the character";
                Err(self.refusal.unsupported(range(&class.span), why))
            }
            ClassSetItem::Union(union) => {
                let mut set = Chars::none();
                for item in &union.items {
                    set.extend(&self.item(item)?);
                }
                Ok(set)
            }
        }
    }
}

fn perl(class: &ClassPerl) -> Chars {
    let set = Chars::perl(&class.kind);
    if class.negated { set.negated() } else { set }
}

fn counts(kind: &RepetitionKind) -> (u32, Option<u32>) {
    match *kind {
        RepetitionKind::ZeroOrOne => (0, Some(1)),
        RepetitionKind::ZeroOrMore => (0, None),
        RepetitionKind::OneOrMore => (1, None),
        RepetitionKind::Range(RepetitionRange::Exactly(count)) => (count, Some(count)),
        RepetitionKind::Range(RepetitionRange::AtLeast(min)) => (min, None),
        RepetitionKind::Range(RepetitionRange::Bounded(min, max)) => (min, Some(max)),
    }
}

fn range(span: &Span) -> Range<usize> {
    span.start.offset..span.end.offset
}
