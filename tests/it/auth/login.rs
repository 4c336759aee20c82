//! `POST /admin/login`

use serde_json::json;

use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn json_and_the_oauth2_form_give_the_same_answer() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let credentials = json!({ "email": "ADMIN@Acme.Example", "password": PASSWORD });
    let by_json = server.call("POST", "/admin/login").json(&credentials).send().await.success(200);
    let form = [("grant_type", "password"), ("username", "admin@acme.example"), ("password", PASSWORD), ("scope", "")];
    let by_form = server.call("POST", "/admin/login").form(&form).send().await.success(200);
    for answer in [by_json, by_form] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.body["token_type"], "bearer");
        assert_eq!(answer.body["expires_in"], 3600);
        assert_eq!(answer.body["admin"]["email"], acme.email.as_str());
        assert_eq!(answer.body["admin"]["organization_id"], acme.id.as_str());
        assert!(server.knows(answer.body["access_token"].as_str().expect("a token")).await);
    }
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_look_the_same() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let wrong = server.log_in(&acme.email, "not the password").await.problem(401, "invalid_credentials");
    let unknown = server.log_in("nobody@acme.example", PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(wrong.body["detail"], "Invalid credentials");
    let but_for_its_id = |answer: &crate::support::Answer| {
        let mut body = answer.body.clone();
        body.as_object_mut().expect("an object").remove("request_id");
        body
    };
    assert_eq!(but_for_its_id(&wrong), but_for_its_id(&unknown));
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let server = Server::start().await;
    let log_in = |body: &serde_json::Value| server.call("POST", "/admin/login").json(body).send();
    log_in(&json!({})).await.invalid(&["/email required", "/password required"]);
    log_in(&json!({ "email": "nobody", "password": 1 }))
        .await
        .invalid(&["/email invalid_email", "/password wrong_type"]);
    log_in(&json!({ "username": "a@example.com", "password": "x" }))
        .await
        .invalid(&["/email required", "/username unknown_field"]);
    let form = server.call("POST", "/admin/login").form(&[("email", "a@example.com"), ("password", "x")]).send().await;
    form.invalid(&["/username required"]);
    let twice = [("username", "a@example.com"), ("username", "b@example.com"), ("password", "x")];
    server.call("POST", "/admin/login").form(&twice).send().await.invalid(&["/username repeated"]);
}
