//! Who may create organizations: `REGISTRATION`.

use serde_json::json;

use crate::support::{Answer, PASSWORD, Server};

/// The token that an operator's own signup sends.
const TOKEN: &str = "Vt8mK2xQ5rZ9nB4cH7jL1pW6sD3gF0yA";

/// The result of a creation with each kind of token.
#[tokio::test]
async fn each_kind_of_registration_answers_each_kind_of_token() {
    let (created, missing, wrong) = ((201, ""), (401, "missing_token"), (401, "invalid_token"));
    let closed = (403, "registration_closed");
    let admins = {
        let server = Server::start().await;
        server.tenant("acme").await.token
    };
    let bearer = |token: &str| format!("Bearer {token}");
    let sent = [None, Some("Basic eDp5".to_owned()), Some(bearer("x")), Some(bearer(&admins)), Some(bearer(TOKEN))];
    for (settings, expected) in [
        (vec![], [created; 5]),
        (vec![("REGISTRATION", "open")], [created; 5]),
        (vec![("REGISTRATION", "token"), ("REGISTRATION_TOKEN", TOKEN)], [missing, missing, wrong, wrong, created]),
        (vec![("REGISTRATION", "closed")], [closed; 5]),
    ] {
        let server = Server::with(&settings).await;
        for (n, (sent, (status, code))) in sent.iter().zip(expected).enumerate() {
            let answer = create(&server, sent.as_deref(), &format!("org {n}")).await;
            let _as_expected = if status == 201 { answer.success(201) } else { answer.problem(status, code) };
            // Takes precedence over everything that is wrong with the body.
            if status != 201 {
                create(&server, sent.as_deref(), "").await.problem(status, code);
            }
        }
    }
}

async fn create(server: &Server, authorization: Option<&str>, name: &str) -> Answer {
    let email = format!("{}@example.com", name.replace(' ', "-"));
    let body = json!({ "organization_name": name, "email": email, "password": PASSWORD });
    let mut call = server.call("POST", "/org/create").json(&body);
    if let Some(authorization) = authorization {
        call = call.header("authorization", authorization);
    }
    call.send().await
}

#[tokio::test]
async fn whoever_holds_the_token_creates_as_many_as_it_likes() {
    let settings = [("REGISTRATION", "token"), ("REGISTRATION_TOKEN", TOKEN), ("CREATIONS_PER_MINUTE", "1")];
    let server = Server::with(&settings).await;
    for n in 0..5 {
        create(&server, Some(&format!("Bearer {TOKEN}")), &format!("org {n}")).await.success(201);
    }
}
