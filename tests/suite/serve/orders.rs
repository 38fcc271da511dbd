//! Orders over HTTP: what the controller is asked, and what of its answer people see.

use super::stage::{Stage, bearer, stage, view};
use reconciler::serve::{Command, Order};

/// Sends an order and answers it as the controller would.
async fn given(
    stage: &mut Stage,
    order: &str,
    body: &str,
    answer: Result<String, String>,
) -> (super::stage::Answer, Option<Command>) {
    let path = format!("/api/v1/environments/production/{order}");
    let bearer = bearer();
    let sort = match body.starts_with('{') {
        true => "application/json",
        false => "application/x-www-form-urlencoded",
    };
    let headers = [("authorization", bearer.as_str()), ("content-type", sort)];
    let mut orders = std::mem::replace(&mut stage.asked.orders, tokio::sync::mpsc::channel(1).1);
    let mut command = None;
    let answered = {
        let asking = stage.asks("POST", &path, &headers, body);
        tokio::pin!(asking);
        loop {
            tokio::select! {
                answered = &mut asking => break answered,
                order = orders.recv(), if command.is_none() => {
                    let Order { command: asked, reply } = order.unwrap();
                    command = Some(asked);
                    reply.send(answer.clone()).unwrap();
                }
            }
        }
    };
    stage.asked.orders = orders;
    (answered, command)
}

#[tokio::test]
async fn an_order_reaches_the_controller_and_its_answer_the_person() {
    let mut stage = stage().await.showing([view("production")]);
    let done = Ok("suspended until 05:00".to_owned());
    let body = r#"{"by":"anna","reason":"looking for the loop","until":"2026-11-24T05:00:00Z"}"#;
    let (answer, command) = given(&mut stage, "suspend", body, done).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["done"], "suspended until 05:00");
    let expected = Command::Suspend {
        environment: "production".to_owned(),
        by: "anna".to_owned(),
        reason: "looking for the loop".to_owned(),
        until: Some("2026-11-24T05:00:00Z".parse().unwrap()),
    };
    assert_eq!(command, Some(expected));

    let refused = Err("it is not suspended".to_owned());
    let (answer, command) = given(&mut stage, "resume", "{}", refused).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["error"], "it is not suspended");
    let expected = Command::Resume {
        environment: "production".to_owned(),
        by: "somebody with the token".to_owned(),
    };
    assert_eq!(command, Some(expected));
}

#[tokio::test]
async fn an_order_from_the_page_leads_back_to_the_page() {
    let mut stage = stage().await.showing([view("production")]);
    let done = Ok("looking <now>".to_owned());
    let (answer, command) = given(&mut stage, "reconcile", "by=anna", done).await;
    assert_eq!(answer.status, 303);
    let to = answer.header("location").unwrap();
    assert_eq!(to, "/production?told=looking%20%3Cnow%3E");
    assert!(matches!(command, Some(Command::Reconcile { by, .. }) if by == "anna"));
    let page = stage.get(to).await;
    assert!(page.body.contains("looking &lt;now&gt;"));
}

#[tokio::test]
async fn what_is_no_order_reaches_nobody() {
    let mut stage = stage().await.showing([view("production")]);
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(400));
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(20_000));
    for (order, body, status) in [
        ("suspend", "{}", 422),
        ("suspend", r#"{"reason":"  "}"#, 422),
        ("suspend", long.as_str(), 422),
        ("suspend", huge.as_str(), 413),
        ("suspend", r#"{"reason":"x","unti":"y"}"#, 422),
        ("suspend", r#"{"reason":"x","until":"tomorrow"}"#, 422),
        ("reconcile", "{", 422),
        ("delete", "{}", 404),
    ] {
        let (answer, command) = given(&mut stage, order, body, Ok(String::new())).await;
        assert_eq!((answer.status, command), (status, None), "{order} {body}");
    }
    let bearer = bearer();
    let headers = [("authorization", bearer.as_str())];
    let path = "/api/v1/environments/nowhere/resume";
    assert_eq!(stage.asks("POST", path, &headers, "").await.status, 404);
}

#[tokio::test]
async fn a_controller_that_has_ended_is_not_waited_for() {
    let mut stage = stage().await.showing([view("production")]);
    stage.asked.orders.close();
    let bearer = bearer();
    let headers = [("authorization", bearer.as_str())];
    let path = "/api/v1/environments/production/resume";
    let answer = stage.asks("POST", path, &headers, "").await;
    assert_eq!(answer.status, 503);
}
