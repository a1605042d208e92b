//! Writes mutants into a source file, each behind a switch.
//!
//! An operator becomes `(if on(7) { a - b } else { a + b })`, a function body gets `if on(8) { return Default::default(); }` at its
//! start, a match arm the guard `!on(9)`. Only one mutant is on at a time, so a mutated expression is a copy of the source as it
//! was: nested mutants stand in the original branch alone, and the text grows with the depth, not with its power.

use std::ops::Range;

use proc_macro2::Span;
use syn::{spanned::Spanned, visit::Visit};

use crate::list::{Genre, Mutant, Place};

/// A source file with its mutants in it.
pub struct Written {
    pub text: String,
    pub spots: Vec<Spot>,
    /// Those that have no switch: their place was not found, or `let` stands in the way.
    pub unswitchable: Vec<usize>,
}

/// Where a mutant is in the text.
pub struct Spot {
    pub mutant: usize,
    /// What would not be there without it.
    pub own: Range<usize>,
    /// This, and the expression that it replaces; for an arm, what is left of the `match`.
    pub whole: Range<usize>,
    pub is_arm: bool,
}

/// Something that is put into the text: before or after what stands at `at`.
struct Insertion {
    at: usize,
    /// Ends come before starts, inner ends before outer ones, outer starts before inner ones.
    order: (u8, isize, u8),
    text: String,
    mutants: Vec<(usize, Range<usize>)>,
    /// What it opens or closes.
    wrap: usize,
}

/// Writes `mutants`, which are of this file, into `source`; `const` is taken from the functions that `is_const` lets go.
pub fn write(
    source: &str,
    mutants: &[(usize, &Mutant)],
    is_const: &dyn Fn(&str) -> bool,
) -> Result<Written, syn::Error> {
    let file = syn::parse_file(source)?;
    let lines = Lines::new(source);
    let mut nodes = Nodes::default();
    nodes.visit_file(&file);

    let mut wraps: Vec<(Range<usize>, u8, Vec<(usize, String)>)> = Vec::new();
    let mut insertions = Vec::new();
    let mut unswitchable = Vec::new();
    let mut wrap_count = 0;
    for &(id, mutant) in mutants {
        let span = lines.range(&mutant.span);
        let changed = |whole: &Range<usize>| {
            let (before, after) = (&source[whole.start..span.start], &source[span.end..whole.end]);
            format!("{before}{}{after}", mutant.replacement)
        };
        let mut wrap = |whole: &Range<usize>, text: String| match wraps.iter_mut().find(|(range, ..)| range == whole) {
            Some((.., all)) => all.push((id, text)),
            None => wraps.push((whole.clone(), 1, vec![(id, text)])),
        };
        match mutant.genre {
            Genre::FnValue => match smallest(&nodes.bodies, &span) {
                // A `return` of another type than the rest.
                Some(body) if nodes.opaque.contains(&body) => unswitchable.push(id),
                Some(body) => {
                    let text = format!(" if crate::mutant::on({id}) {{ return {}; }} ", mutant.replacement);
                    let own = 0..text.len();
                    wrap_count += 1;
                    insertions.push(Insertion {
                        at: body.start + 1,
                        order: (0, 0, 0),
                        text,
                        mutants: vec![(id, own)],
                        wrap: wrap_count,
                    });
                }
                None => unswitchable.push(id),
            },
            Genre::BinaryOperator | Genre::UnaryOperator => {
                match nodes.operators.iter().find(|(op, _)| op.start == span.start) {
                    Some((_, Some(whole))) => wrap(whole, changed(whole)),
                    _ => unswitchable.push(id),
                }
            }
            Genre::StructField => match smallest(&nodes.structs, &span) {
                Some(whole) => wrap(&whole, changed(&whole)),
                None => unswitchable.push(id),
            },
            Genre::MatchArmGuard => match nodes.arms.iter().find(|arm| arm.guard.as_ref() == Some(&span)) {
                Some(arm) if !arm.has_let => wrap(&span, mutant.replacement.clone()),
                _ => unswitchable.push(id),
            },
            Genre::MatchArm => match nodes.arms.iter().find(|arm| arm.start == span.start) {
                Some(arm) if !arm.has_let => {
                    let (at, start, end) = match &arm.guard {
                        None => (arm.pattern_end, format!(" if !crate::mutant::on({id})"), String::new()),
                        Some(guard) => (guard.start, format!("!crate::mutant::on({id}) && ("), String::from(")")),
                    };
                    wrap_count += 1;
                    let own = 0..start.len();
                    // Outside of what the guard's own mutants wrap.
                    let order = arm.guard.as_ref().map_or((0, 0, 0), |guard| (1, -signed(guard.end), 0));
                    insertions.push(Insertion { at, order, text: start, mutants: vec![(id, own)], wrap: wrap_count });
                    if let Some(guard) = &arm.guard {
                        let order = (0, -signed(guard.start), 1);
                        insertions.push(Insertion {
                            at: guard.end,
                            order,
                            text: end,
                            mutants: Vec::new(),
                            wrap: wrap_count,
                        });
                    }
                    let matching = smallest(&nodes.matches, &span).unwrap_or(span);
                    let order = (0, -signed(matching.start), 1);
                    let text = String::new();
                    insertions.push(Insertion { at: matching.end, order, text, mutants: Vec::new(), wrap: wrap_count });
                }
                _ => unswitchable.push(id),
            },
        }
    }
    for (whole, level, all) in wraps {
        wrap_count += 1;
        let mut text = String::from("(");
        let mut own = Vec::new();
        for (id, changed) in all {
            let start = text.len();
            text += &format!("if crate::mutant::on({id}) {{ {changed} }} else ");
            own.push((id, start..text.len()));
        }
        text += "{ ";
        insertions.push(Insertion {
            at: whole.start,
            order: (1, -signed(whole.end), level),
            text,
            mutants: own,
            wrap: wrap_count,
        });
        insertions.push(Insertion {
            at: whole.end,
            order: (0, -signed(whole.start), 0),
            text: String::from(" })"),
            mutants: Vec::new(),
            wrap: wrap_count,
        });
    }
    let removed = nodes.consts.iter().filter(|(name, _)| !is_const(name)).map(|(_, range)| range.clone()).collect();
    let (text, mut spots) = merge(source, insertions, removed);
    for spot in &mut spots {
        spot.is_arm = mutants.iter().any(|(id, mutant)| *id == spot.mutant && mutant.genre == Genre::MatchArm);
    }
    Ok(Written { text, spots, unswitchable })
}

/// The bodies of functions, with their braces, and where their `const` is, with the space after it.
pub fn bodies(source: &str) -> Result<(Vec<Range<usize>>, Vec<Range<usize>>), syn::Error> {
    let mut nodes = Nodes::default();
    nodes.visit_file(&syn::parse_file(source)?);
    Ok((nodes.bodies, nodes.consts.into_iter().map(|(_, range)| range).collect()))
}

fn merge(source: &str, mut insertions: Vec<Insertion>, mut removed: Vec<Range<usize>>) -> (String, Vec<Spot>) {
    insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
    removed.sort_by_key(|range| range.start);
    let mut removed = removed.into_iter().peekable();
    let mut text = String::new();
    let mut spots: Vec<(usize, Spot)> = Vec::new();
    let mut at = 0;
    let mut copy = |text: &mut String, at: &mut usize, to: usize| {
        while let Some(range) = removed.next_if(|range| range.start < to) {
            text.push_str(&source[*at..range.start]);
            *at = range.end;
        }
        text.push_str(&source[*at..to]);
        *at = to;
    };
    for insertion in insertions {
        copy(&mut text, &mut at, insertion.at);
        let start = text.len();
        text += &insertion.text;
        for (_, spot) in spots.iter_mut().filter(|(wrap, _)| *wrap == insertion.wrap) {
            spot.whole.end = text.len();
        }
        spots.extend(insertion.mutants.into_iter().map(|(mutant, own)| {
            let own = start + own.start..start + own.end;
            (insertion.wrap, Spot { mutant, own, whole: start..text.len(), is_arm: false })
        }));
    }
    copy(&mut text, &mut at, source.len());
    (text, spots.into_iter().map(|(_, spot)| spot).collect())
}

fn signed(at: usize) -> isize {
    isize::try_from(at).unwrap_or(isize::MAX)
}

/// The smallest of `ranges` around `inner`.
pub fn smallest(ranges: &[Range<usize>], inner: &Range<usize>) -> Option<Range<usize>> {
    let outer = ranges.iter().filter(|range| range.start <= inner.start && inner.end <= range.end);
    outer.min_by_key(|range| range.len()).cloned()
}

/// What mutants are made of, as ranges of bytes.
#[derive(Default)]
struct Nodes {
    /// With the braces.
    bodies: Vec<Range<usize>>,
    /// Those of functions that return `impl Trait`.
    opaque: Vec<Range<usize>>,
    /// The operator, and the expression around it if it can stand in an `if`.
    operators: Vec<(Range<usize>, Option<Range<usize>>)>,
    structs: Vec<Range<usize>>,
    arms: Vec<Arm>,
    matches: Vec<Range<usize>>,
    /// The name of a function, and its `const` with the space after it.
    consts: Vec<(String, Range<usize>)>,
}

struct Arm {
    start: usize,
    pattern_end: usize,
    guard: Option<Range<usize>>,
    has_let: bool,
}

impl Nodes {
    fn function(&mut self, signature: &syn::Signature, body: Option<&syn::Block>) {
        if let Some(token) = &signature.constness {
            let range = bytes(token.span);
            self.consts.push((signature.ident.to_string(), range.start..range.end + 1));
        }
        let Some(body) = body.map(|body| bytes(body.span())) else { return };
        self.opaque.extend(is_opaque(&signature.output).then(|| body.clone()));
        self.bodies.push(body);
    }
}

impl<'ast> Visit<'ast> for Nodes {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, Some(&function.block));
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, Some(&function.block));
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.function(&function.sig, function.default.as_ref());
        syn::visit::visit_trait_item_fn(self, function);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let whole = (!has_let(&binary.left) && !has_let(&binary.right)).then(|| bytes(binary.span()));
        self.operators.push((bytes(binary.op.span()), whole));
        syn::visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        self.operators.push((bytes(unary.op.span()), Some(bytes(unary.span()))));
        syn::visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, structure: &'ast syn::ExprStruct) {
        self.structs.push(bytes(structure.span()));
        syn::visit::visit_expr_struct(self, structure);
    }

    fn visit_expr_match(&mut self, matching: &'ast syn::ExprMatch) {
        self.matches.push(bytes(matching.span()));
        syn::visit::visit_expr_match(self, matching);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.arms.push(Arm {
            start: bytes(arm.span()).start,
            pattern_end: bytes(arm.pat.span()).end,
            guard: arm.guard.as_ref().map(|(_, guard)| bytes(guard.span())),
            has_let: arm.guard.as_ref().is_some_and(|(_, guard)| has_let(guard)),
        });
        syn::visit::visit_arm(self, arm);
    }
}

fn is_opaque(output: &syn::ReturnType) -> bool {
    struct Found(bool);
    impl<'ast> Visit<'ast> for Found {
        fn visit_type_impl_trait(&mut self, _: &'ast syn::TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut found = Found(false);
    found.visit_return_type(output);
    found.0
}

/// Whether it is a `let` of an `if`, or a chain with one.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range()
}

/// Lines and columns as cargo-mutants counts them: from one, in characters.
struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Self {
        let after = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(after).collect() }
    }

    fn range(&self, span: &crate::list::Span) -> Range<usize> {
        self.byte(&span.start)..self.byte(&span.end)
    }

    fn byte(&self, place: &Place) -> usize {
        let start = self.starts[place.line - 1];
        let column = self.source[start..].char_indices().nth(place.column - 1);
        column.map_or(self.source.len(), |(at, _)| start + at)
    }
}
