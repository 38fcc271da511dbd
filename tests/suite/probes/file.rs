//! The file itself: what is wrong with one is told, with the place.

use reconciler::probe::{Need, Sheet};

const SOUND: &str = r#"
requests:
  read: "query Read($environment: String!) { environment(id: $environment) { id } }"
  write: "mutation Write($service: String!) { serviceDelete(id: $service) }"
recipes:
  looking: [{ ask: read, keep: { id: /environment/id } }]
probes:
  - id: one
    question: What is it?
    facts: "1"
    needs: [service, project-token]
    steps:
      - do: looking
      - send: write
        by: project-token
        with: { service: $service }
        keep: { words: error }
      - wait: read
        until: { id: $environment }
        at most: 5s
        else: go on
      - pause: 1s
    after: [{ do: looking }]
    answers:
      - { name: first, when: { words: null, id: { not: { contains: x } } }, means: This. }
      - { name: second, when: [{ words: { missing: true } }, { id: { any of: [1, { above: 5, by: 2 }] } }], means: That. }
"#;

#[test]
fn a_sound_file_is_read_whole() {
    let sheet = Sheet::of(&[("a.yaml", SOUND)]).unwrap();

    let probe = &sheet.probes[0];
    assert!(!probe.reads_only());
    assert!(probe.needs.contains(&Need::ProjectToken));
    assert_eq!(
        sheet.answers(probe).collect::<Vec<_>>(),
        ["first", "second"]
    );
    assert!(
        sheet
            .chosen(&["on".to_owned()])
            .unwrap_err()
            .contains("did you mean `one`?")
    );
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let wrong: &[(&str, &str, &str)] = &[
        (
            "      - do: looking\n",
            "      - do: lookin\n",
            "no recipe is called lookin",
        ),
        ("send: write", "send: wrote", "no request is called wrote"),
        (
            "send: write",
            "ask: write",
            "a query is asked, a mutation is sent",
        ),
        (
            "recipes:\n  looking: [{ ask: read",
            "recipes:\n  looking: [{ do: looking }, { ask: read",
            "recipes go in a circle",
        ),
        (
            "needs: [service, project-token]",
            "needs: [project-token]",
            "it writes, and needs no service",
        ),
        (
            "needs: [service, project-token]",
            "needs: [service]",
            "it needs a project token, and does not say so",
        ),
        ("needs: [service, project-token]", "needs: [money]", "money"),
        (
            "until: { id: $environment }",
            "until: { ide: $environment }",
            "it waits for `ide`, which no step keeps",
        ),
        ("words: null, id", "word: null, id", "no step keeps `word`"),
        ("at most: 5s", "at most: five", "`five`"),
        ("        at most: 5s\n", "", "`wait` needs `at most`"),
        ("else: go on", "else: stop", "stop"),
        (
            "- pause: 1s",
            "- pause: 1s\n        at most: 3s",
            "belong to `wait`",
        ),
        (
            "- pause: 1s",
            "- pause: 1s\n        do: looking",
            "a step has one of",
        ),
        ("- pause: 1s", "- paws: 1s", "paws"),
        (
            "words: error",
            "words: errors",
            "`errors` is nothing that can be kept",
        ),
        (
            "not: { contains: x }",
            "not: { contains: x, lacks: y }",
            "a comparison has one word",
        ),
        (
            "contains: x",
            "resembles: x",
            "`resembles` compares nothing",
        ),
        ("contains: x", "contains: x, by: 2", "`by` belongs to"),
        (
            "any of: [1, { above: 5, by: 2 }]",
            "any of: 1",
            "`any of` takes a list",
        ),
        (
            "missing: true",
            "missing: perhaps",
            "`missing` is true or false",
        ),
        (
            "name: second",
            "name: first",
            "the answer first is there twice",
        ),
        ("id: one", "id: One", "small letters"),
        (
            "\"query Read",
            "\"subscription Read",
            "neither query nor mutation",
        ),
        ("facts: \"1\"", "fact: \"1\"", "fact"),
    ];
    for (from, to, words) in wrong {
        assert!(SOUND.contains(from), "{from}");
        let text = SOUND.replacen(from, to, 1);

        let told = Sheet::of(&[("a.yaml", &text)]).unwrap_err();

        assert!(told.starts_with("a.yaml") || !told.is_empty());
        assert!(told.contains(words), "{to}: {told}");
    }
    let twice = Sheet::of(&[("a.yaml", SOUND), ("b.yaml", SOUND)]).unwrap_err();
    assert!(twice.contains("is there twice"), "{twice}");
}

#[test]
fn the_file_reads_like_a_document() {
    let sheet = Sheet::read().unwrap();
    for probe in &sheet.probes {
        assert!(probe.question.ends_with('?'), "{}", probe.id);
        assert!(probe.question.len() < 140, "{}", probe.id);
    }
    for not in &sheet.not_probed {
        assert!(
            not.question.ends_with('?') && not.why.ends_with('.'),
            "{}",
            not.id
        );
    }
    // What only reads may be asked of anybody's environment: it never asks for values.
    let open: Vec<&str> = sheet
        .requests()
        .filter(|(_, text)| text.contains("decryptVariables: true"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(open, ["open configuration"]);
    let reading: Vec<&str> = sheet
        .probes
        .iter()
        .filter(|probe| probe.reads_only() && !probe.needs.contains(&Need::Service))
        .map(|probe| probe.id.as_str())
        .collect();
    assert_eq!(
        reading,
        [
            "introspection-without-a-token",
            "code-of-a-wrong-token",
            "who-a-bearer-token-is",
            "how-the-limit-resets",
            "aliases-and-the-limit",
            "keys-of-the-configuration",
            "word-for-a-failed-patch",
        ]
    );
}
