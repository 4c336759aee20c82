//! A pattern as a machine: places, between which the engine moves by reading a character, and the ways from each place.
//!
//! The engine tries ways in order, and every one of them if the text does not match. So ways are counted, not only
//! listed: two ways to the same place are tried one after the other, and all that follows is tried twice.

use std::iter::Peekable;
use std::ops::Range;

use super::STEPS_MAX;
use super::chars::Chars;
use super::expr::{Expr, Look, Repeat, Starts};
use super::fuel::{Exhausted, Fuel};

/// The steps of one call of the engine's matching function: one call for each way but the last at a branch.
const BRANCH: u32 = 5;

/// The steps to look at a place, or to leave a group.
const SMALL: u32 = 2;

/// The fuel to build a node.
const NODE_FUEL: u32 = 100;

/// The fuel to combine the ways of a node, besides one unit for each.
const COMBINE_FUEL: u32 = 20;

/// The number of a node.
type NodeId = usize;

/// A node of the graph that [`Expr`] unfolds to. Repeats are written out, and each character has its own node.
#[derive(Debug)]
enum Node {
    Char { place: usize },
    Fork { branches: Vec<NodeId>, steps: u32 },
    Leave { next: NodeId },
    Look { look: Look, next: NodeId },
    Accept,
}

/// A place, where a character of the pattern has just been read.
#[derive(Debug)]
pub(super) struct PatternPlace {
    /// The number of the character's set.
    pub(super) set: usize,
    /// The innermost repeat around it, as a byte range of the pattern.
    pub(super) repeat: Option<Range<usize>>,
    /// The ways that continue from here.
    pub(super) ways: Ways,
}

/// All ways from a place to the next character.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// The places of the next characters, and how many ways lead to each.
    pub(super) to: Vec<(usize, u32)>,
    /// The steps to try them all.
    pub(super) steps: u32,
    /// Whether one of the ways ends the search, whatever follows in the text.
    pub(super) is_end: bool,
}

/// What is known about the position where ways begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// At the beginning of the text.
    TextStart,
    /// After a line feed, where a search begins.
    LineStart,
    /// Elsewhere, where a search begins.
    Inside,
    /// After a character of the pattern, which may be a line feed.
    After,
}

/// The whole machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) places: Vec<PatternPlace>,
    /// The ways of a search that begins at the start of the text, after a line feed, and elsewhere.
    pub(super) starts: [Ways; 3],
    /// Where searches begin.
    pub(super) search: Starts,
}

impl Machine {
    /// Unfolds an expression.
    pub(super) fn build(expr: &Expr, sets: &[Chars], fuel: &mut Fuel) -> Result<Self, Exhausted> {
        let mut graph = Graph { nodes: vec![Node::Accept], places: Vec::new(), fuel };
        let start = graph.unfold(expr, 0, None)?;
        let starts = [Context::TextStart, Context::LineStart, Context::Inside];
        let [first, line, inside] = starts.map(|context| graph.ways(context, sets, &[start]));
        let only = |ways: Result<Vec<Ways>, Exhausted>| ways.map(|mut ways| ways.pop().unwrap_or_default());
        let starts = [only(first)?, only(line)?, only(inside)?];
        let after: Vec<NodeId> = graph.places.iter().map(|(_, next, _)| *next).collect();
        let ways = graph.ways(Context::After, sets, &after)?;
        let places = graph.places.into_iter().zip(ways);
        let places = places.map(|((set, _, repeat), ways)| PatternPlace { set, repeat, ways }).collect();
        // A pattern that matches at once is searched for at one position only.
        let search = if starts[0].is_end { Starts::Once } else { expr.starts() };
        Ok(Self { places, starts, search })
    }
}

struct Graph<'f> {
    nodes: Vec<Node>,
    /// For each character: its set, the next node, and the innermost repeat around it.
    places: Vec<(usize, NodeId, Option<Range<usize>>)>,
    fuel: &'f mut Fuel,
}

impl Graph<'_> {
    fn add(&mut self, node: Node) -> Result<NodeId, Exhausted> {
        self.fuel.burn(NODE_FUEL)?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Adds an expression before `next`; returns where it begins.
    fn unfold(&mut self, expr: &Expr, next: NodeId, repeat: Option<&Range<usize>>) -> Result<NodeId, Exhausted> {
        match expr {
            Expr::Empty => Ok(next),
            Expr::Char(set) => {
                self.places.push((*set, next, repeat.cloned()));
                self.add(Node::Char { place: self.places.len() - 1 })
            }
            Expr::Look(look) => self.add(Node::Look { look: *look, next }),
            Expr::Group(alternatives) => {
                let close = self.add(Node::Leave { next })?;
                let branches: Result<Vec<_>, _> =
                    alternatives.iter().map(|alternative| self.unfold(alternative, close, repeat)).collect();
                let branches = branches?;
                let steps = BRANCH.saturating_mul(u32::try_from(branches.len()).unwrap_or(u32::MAX));
                self.add(Node::Fork { branches, steps })
            }
            Expr::Sequence(parts) => parts.iter().rev().try_fold(next, |next, part| self.unfold(part, next, repeat)),
            Expr::Repeat(repeat) => self.unfold_repeat(repeat, next),
        }
    }

    fn unfold_repeat(&mut self, repeat: &Repeat, next: NodeId) -> Result<NodeId, Exhausted> {
        let (tail, copies) = match repeat.max {
            None => self.endless(repeat, next)?,
            Some(max) => (self.optional(repeat, max - repeat.min.min(max), next)?, repeat.min),
        };
        (0..copies).try_fold(tail, |next, _| self.unfold(&repeat.inner, next, repeat.place.as_ref()))
    }

    /// An unlimited repeat: where it begins, and how many copies precede that.
    fn endless(&mut self, repeat: &Repeat, next: NodeId) -> Result<(NodeId, u32), Exhausted> {
        let fork = self.add(Node::Accept)?;
        let body = self.unfold(&repeat.inner, fork, repeat.place.as_ref())?;
        if let Some(reserved) = self.nodes.get_mut(fork) {
            *reserved = Node::Fork { branches: vec![body, next], steps: BRANCH };
        }
        Ok(if repeat.min == 0 { (fork, 0) } else { (body, repeat.min - 1) })
    }

    /// Optional copies. PCRE nests each but the first in the previous one, so leaving the last one means leaving all
    /// others, one by one. Copies of a single character are counted instead.
    fn optional(&mut self, repeat: &Repeat, count: u32, next: NodeId) -> Result<NodeId, Exhausted> {
        let is_counted = matches!(repeat.inner, Expr::Char(_));
        let mut exits = vec![next];
        for _ in 0..count {
            self.fuel.burn(NODE_FUEL)?;
            let outer = exits.last().copied().unwrap_or(next);
            exits.push(if is_counted { next } else { self.add(Node::Leave { next: outer })? });
        }
        let mut tail = exits.pop().unwrap_or(next);
        while let Some(exit) = exits.pop() {
            let body = self.unfold(&repeat.inner, tail, repeat.place.as_ref())?;
            tail = self.add(Node::Fork { branches: vec![body, exit], steps: BRANCH })?;
        }
        Ok(tail)
    }

    /// The ways from these nodes. There are no cycles: every unlimited repeat takes a character each time.
    fn ways(&mut self, context: Context, sets: &[Chars], from: &[NodeId]) -> Result<Vec<Ways>, Exhausted> {
        let mut known: Vec<Option<Ways>> = vec![None; self.nodes.len()];
        for &node in from {
            let mut stack = vec![node];
            while let Some(&top) = stack.last() {
                let open = |id: &NodeId| known.get(*id).is_some_and(Option::is_none);
                let missing: Vec<NodeId> = self.moves(top, context).iter().copied().filter(open).collect();
                if missing.is_empty() {
                    let ways = self.combine(top, context, sets, &known)?;
                    if let Some(slot) = known.get_mut(top) {
                        *slot = Some(ways);
                    }
                    stack.pop();
                }
                stack.extend(missing);
            }
        }
        Ok(from.iter().map(|node| known.get(*node).cloned().flatten().unwrap_or_default()).collect())
    }

    /// Where the engine can go from a node without reading a character.
    fn moves(&self, node: NodeId, context: Context) -> &[NodeId] {
        match self.nodes.get(node) {
            Some(Node::Fork { branches, .. }) => branches,
            Some(Node::Leave { next }) => std::slice::from_ref(next),
            Some(Node::Look { look, next }) if look.passes(context) => std::slice::from_ref(next),
            Some(Node::Look { .. } | Node::Char { .. } | Node::Accept) | None => &[],
        }
    }

    fn combine(
        &mut self,
        node: NodeId,
        context: Context,
        sets: &[Chars],
        known: &[Option<Ways>],
    ) -> Result<Ways, Exhausted> {
        let mut ways = Ways::default();
        match self.nodes.get(node) {
            Some(Node::Accept) => ways.is_end = true,
            Some(Node::Char { place }) => {
                let set = self.places.get(*place).and_then(|(set, ..)| sets.get(*set));
                ways = Ways { to: vec![(*place, 1)], steps: set.map_or(1, Chars::steps), is_end: false };
            }
            Some(Node::Fork { steps, .. }) => ways.steps = *steps,
            Some(Node::Leave { .. } | Node::Look { .. }) | None => ways.steps = SMALL,
        }
        for id in self.moves(node, context) {
            if let Some(Some(others)) = known.get(*id) {
                ways.join(others);
            }
        }
        if let Some(Node::Look { look, .. }) = self.nodes.get(node) {
            ways.is_end &= look.is_certain(context);
        }
        self.fuel.burn(u32::try_from(ways.to.len()).unwrap_or(u32::MAX).saturating_add(COMBINE_FUEL))?;
        Ok(ways)
    }
}

impl Ways {
    /// Adds the ways of another branch. Both lists are in order. Beyond the step limit the list is dropped: whatever
    /// reaches such a place costs too much.
    fn join(&mut self, others: &Self) {
        self.steps = self.steps.saturating_add(others.steps);
        self.is_end |= others.is_end;
        if self.steps > STEPS_MAX {
            self.to = Vec::new();
            return;
        }
        let mut joined: Vec<(usize, u32)> = Vec::with_capacity(self.to.len() + others.to.len());
        let (mut mine, mut theirs) = (self.to.iter().copied().peekable(), others.to.iter().copied().peekable());
        while let Some((place, count)) = next_in_order(&mut mine, &mut theirs) {
            match joined.last_mut() {
                Some((last, known)) if *last == place => *known = known.saturating_add(count),
                _ => joined.push((place, count)),
            }
        }
        self.to = joined;
    }
}

/// The smaller of the next two.
fn next_in_order<T: Ord>(
    one: &mut Peekable<impl Iterator<Item = T>>,
    other: &mut Peekable<impl Iterator<Item = T>>,
) -> Option<T> {
    match (one.peek(), other.peek()) {
        (Some(mine), Some(theirs)) if mine <= theirs => one.next(),
        (_, Some(_)) => other.next(),
        (_, None) => one.next(),
    }
}

impl Look {
    /// Whether the condition can hold.
    fn passes(self, context: Context) -> bool {
        match self {
            Self::TextStart => context == Context::TextStart,
            Self::LineStart => context != Context::Inside,
            Self::Other => true,
        }
    }

    /// Whether the condition must hold, given that it can.
    fn is_certain(self, context: Context) -> bool {
        match self {
            Self::TextStart => true,
            Self::LineStart => context != Context::After,
            Self::Other => false,
        }
    }
}
