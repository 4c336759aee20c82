//! The calls of services whose error types cover more cases than any one call can meet. A row of `mapping.rs` names the
//! calls that can meet it, and a handler's [`super::Failed`] names the call that it makes.

/// Every call.
pub(in crate::http) const ANY: u32 = u32::MAX;

macro_rules! calls {
    ($($name:ident),*) => { calls!(@ 0, $($name),*); };
    (@ $bit:expr, $name:ident $(, $rest:ident)*) => {
        pub(in crate::http) const $name: u32 = 1 << ($bit);
        calls!(@ $bit + 1, $($rest),*);
    };
    (@ $bit:expr,) => {};
}

calls![
    // Tokens.
    LOG_IN,
    RECOGNIZE,
    // Idempotency keys.
    REPEAT,
    // Organizations.
    CREATE,
    FIND,
    UPDATE,
    DELETE,
    RESTORE,
    REACH,
    GIVE_UP_NAME,
    WATCH_CHANGE,
    // Documents.
    READ,
    GET,
    INSERT,
    REWRITE,
    REMOVE,
    // Indexes and schemas.
    LIST_INDEXES,
    BUILD_INDEX,
    DROP_INDEX,
    GET_SCHEMA,
    SET_SCHEMA,
    REMOVE_SCHEMA
];

/// The calls that record a change of an organization.
pub(in crate::http) const RECORDED: u32 = CREATE | UPDATE | DELETE | RESTORE;

/// The calls that write to an organization's collection.
pub(in crate::http) const WRITES: u32 =
    INSERT | REWRITE | REMOVE | BUILD_INDEX | DROP_INDEX | SET_SCHEMA | REMOVE_SCHEMA;
