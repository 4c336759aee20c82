//! Derives the problems that a call can answer from the types of its handler: each extractor and the error have their
//! kinds, so no list per call is needed.

use std::marker::PhantomData;

use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::{IntoResponse, Response};

use super::{Kind, Problem, calls};

/// A type in a handler's signature, with the kinds of problem that it can cause.
pub(in crate::http) trait Answers {
    /// The kinds of problem.
    fn kinds() -> Vec<Kind> {
        Vec::new()
    }
}

/// Declares the problems of extractors: `Extractor = [KINDS] its, inner, extractors;`
macro_rules! answers {
    ($($extractor:ty = [$($kind:ident),*] $($part:ty),*;)*) => {
        $(impl $crate::http::problem::Answers for $extractor {
            fn kinds() -> Vec<$crate::http::problem::Kind> {
                let parts: [Vec<$crate::http::problem::Kind>; _] = [
                    vec![$($crate::http::problem::kinds::$kind),*],
                    $(<$part as $crate::http::problem::Answers>::kinds()),*
                ];
                parts.concat()
            }
        })*
    };
}
pub(in crate::http) use answers;

impl<T> Answers for State<T> {}
impl Answers for OriginalUri {}
impl Answers for RawQuery {}
impl<T> Answers for Json<T> {}
impl<H, T> Answers for (H, T) {}

/// An error of a service, with its meaning for a client; see `problems!`.
pub(in crate::http) trait Means: Into<Problem> {
    /// The kinds that it can mean in one of the [`calls`].
    fn kinds(call: u32) -> Vec<Kind>;
}

/// Maps an error to problems and, from the same rows, lists the kinds that it can mean:
/// `variant in calls => KIND, |problem| refined;`, where leaving out the calls means all of them, and
/// `variant(inner) => <Inner> inner;` for an error with its own rows.
macro_rules! problems {
    ($error:ident: $type:ty {
        $($variant:pat $(if ($guard:expr))? $(in $calls:expr)? =>
            $(<$inner_type:ty> $inner:ident)?
            $($kind:ident $(, |$problem:ident| $more:expr)?)?;)*
    }) => {
        impl $crate::http::problem::Means for $type {
            fn kinds(call: u32) -> Vec<$crate::http::problem::Kind> {
                let mut kinds = Vec::new();
                $(if call & $crate::http::problem::problems!(@calls $($calls)?) != 0 {
                    $(kinds.push($crate::http::problem::kinds::$kind);)?
                    $(kinds.extend(<$inner_type as $crate::http::problem::Means>::kinds(call));)?
                })*
                kinds
            }
        }

        impl From<$type> for $crate::http::problem::Problem {
            fn from($error: $type) -> Self {
                match $error {
                    $($variant $(if $guard)? => {
                        $(let problem = Self::new($crate::http::problem::kinds::$kind);
                        $(let problem = { let $problem = problem; $more };)?
                        problem)?
                        $(Self::from($inner))?
                    })*
                }
            }
        }
    };
    (@calls) => { $crate::http::problem::calls::ANY };
    (@calls $calls:expr) => { ($calls) };
}
pub(in crate::http) use problems;

/// A handler's failure: a problem made from an `E`, limited to what this call can meet. A kind that neither an
/// extractor nor `E` declares is undocumented, and the tests fail when they meet it.
#[derive(Debug)]
pub(in crate::http) struct Failed<E, const CALL: u32 = { calls::ANY }>(Problem, PhantomData<E>);

impl<E: Means, const CALL: u32> From<E> for Failed<E, CALL> {
    fn from(error: E) -> Self {
        Self(error.into(), PhantomData)
    }
}

impl<E, const CALL: u32> From<Problem> for Failed<E, CALL> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<E, const CALL: u32> IntoResponse for Failed<E, CALL> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<E: Means, const CALL: u32> Answers for Failed<E, CALL> {
    fn kinds() -> Vec<Kind> {
        E::kinds(CALL)
    }
}

impl<T, E: Answers> Answers for Result<T, E> {
    fn kinds() -> Vec<Kind> {
        E::kinds()
    }
}

/// A handler, by the types of its arguments.
pub(in crate::http) trait Handles<Taken> {
    /// The problems that it can answer.
    fn kinds(&self) -> Vec<Kind>;
}

macro_rules! handles {
    ($($taken:ident)*) => {
        impl<F, A, $($taken,)*> Handles<($($taken,)*)> for F
        where
            F: Fn($($taken),*) -> A,
            A: Future<Output: Answers>,
            $($taken: Answers,)*
        {
            fn kinds(&self) -> Vec<Kind> {
                let taken: [Vec<Kind>; _] = [$($taken::kinds(),)* A::Output::kinds()];
                taken.concat()
            }
        }
        handles!(@fewer $($taken)*);
    };
    (@fewer) => {};
    (@fewer $first:ident $($taken:ident)*) => { handles!($($taken)*); };
}

handles!(T1 T2 T3 T4 T5 T6 T7);
