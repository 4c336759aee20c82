//! What a call can answer besides its success, told by the types of its handler: each extractor and the error have their kinds,
//! so nobody lists them for a call.

use std::marker::PhantomData;

use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::{IntoResponse, Response};

use super::{Kind, Problem, calls};

/// Something in the signature of a handler, with the kinds of problem that come of it.
pub(in crate::http) trait Answers {
    /// These kinds.
    fn kinds() -> Vec<Kind> {
        Vec::new()
    }
}

/// Says what comes of extractors: `Extractor = [KINDS] what, it, is, made, of;`
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

/// An error of a service, with what it means to a client; see `problems!`.
pub(in crate::http) trait Means: Into<Problem> {
    /// What it can mean in one of the [`calls`].
    fn kinds(call: u32) -> Vec<Kind>;
}

/// Says what an error means and, from the same rows, which kinds it can mean:
/// `variant in the calls that can meet it => KIND, |problem| more of it;`, without calls for all of them, and
/// `variant(inner) => <Inner> inner;` for an error that has rows of its own.
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

/// What a handler fails with: a problem that came of an `E`, as far as this call can meet one. What stands in the type of no
/// extractor and in no `E` is documented nowhere, and the tests fail when they meet it.
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

/// A handler, by the types of what it takes.
pub(in crate::http) trait Handles<Taken> {
    /// What it can answer besides its success.
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
