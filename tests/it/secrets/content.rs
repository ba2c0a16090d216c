//! Mail with a mark in every place, a worker at level trace, and all the ways in which something goes wrong: the mark is in no log.

use std::process::Stdio;
use std::time::Instant;

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;

use crate::cli::File;
use crate::mesh::{DEADLINE, Mesh};

const MARK: &str = "xyzzyplugh";

/// A message that is full of marks. `unique_id` is dbmail's, not the mail's.
fn marked(name: &str) -> Mail {
    let mut mail = Mail::named(name);
    mail.headers.push(("Subject".into(), format!("{MARK} subject")));
    mail.headers.push(("From".into(), format!("{MARK}@example.org")));
    mail.headers.push((format!("X-{MARK}"), "header".into()));
    mail.headers.push(("References".into(), format!("<{MARK}@example.org>")));
    mail.parts.push(format!("the text has a {MARK} in it\n").into_bytes());
    mail.keywords.push(MARK.into());
    mail
}

/// What a target may have against a row, each naming the value in what PostgreSQL says.
const COMPLAINTS: [(&str, &str); 4] = [
    // DETAIL: Failing row contains (…)
    ("no_mark", "alter table dbmail_headervalue add constraint no_mark check (headervalue not like '%xyzzyplugh 0') not valid"),
    // DETAIL: Key (…)=(…) already exists.
    (
        "one_subject",
        "create unique index one_subject on dbmail_headervalue (headervalue) where headervalue = 'xyzzyplugh 1';
         insert into dbmail_headervalue (hash, headervalue) values ('', 'xyzzyplugh 1')",
    ),
    // invalid input syntax for type integer: "…"
    (
        "22P02",
        "create function count_it() returns trigger language plpgsql as $$ begin perform new.headervalue::int; return new; end $$;
         create trigger count_it before insert on dbmail_headervalue for each row when (new.headervalue like '%xyzzyplugh%')
           execute function count_it()",
    ),
    // A message of somebody's own, and a context that quotes.
    (
        "22023",
        "create function reject() returns trigger language plpgsql as $$
         begin execute format('select %L::text, 1 / length(%L)', new.headervalue, ''); return new;
         exception when division_by_zero then
           raise exception 'this will not do: %', new.headervalue using errcode = '22023', detail = new.headervalue, hint = new.headervalue;
         end $$;
         create trigger reject before insert on dbmail_headervalue for each row when (new.headervalue like '%xyzzyplugh%')
           execute function reject()",
    ),
];

const UNDO: &str = "
    alter table dbmail_headervalue drop constraint if exists no_mark;
    delete from dbmail_headervalue where hash = '';
    drop index if exists one_subject;
    drop function if exists count_it cascade;
    drop function if exists reject cascade;";

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_in_no_log_and_in_no_reason() {
    let (mesh, inbox) = Mesh::with_inbox("marked", 2, 2).await;
    let file = File::with_nodes(&[mesh.url(1), mesh.url(2)]);
    let text = std::fs::read_to_string(file.path()).unwrap();
    let quick = "stride = 2\nsettle_after = \"200ms\"\npatience = \"1s\"\npresence = \"always\"";
    let text = text.replace("stride = 8", quick).replace("\"ams\"", "\"a\"").replace("\"fra\"", "\"b\"");
    std::fs::write(file.path(), text).unwrap();
    let target = mesh.psql(2).await;
    // Parameters would come with errors: a DBA may have wanted them for dbmail.
    let with_parameters = format!("alter database {} set log_parameter_max_length_on_error = -1", database(&mesh));
    target.batch_execute(&with_parameters).await.unwrap();

    let log = tempfile::NamedTempFile::new().unwrap();
    let mut worker = tokio::process::Command::from(file.command("run --set health.listen= --log-level trace"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.reopen().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    // Applied, late, and renumbered.
    for id in [1, 2, 1, 2] {
        mesh.dbmail(id).await.deliver(inbox, &marked(&format!("applied{id}{}", fastrand::u32(..)))).await.unwrap();
    }
    mesh.await_equal(inbox, 4).await;
    for (at, (reason, complaint)) in COMPLAINTS.iter().enumerate() {
        refused(&mesh, inbox, at, reason, complaint).await;
    }
    worker.kill().await.unwrap();
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert!(said.contains("row set aside") && said.contains("batch applied"), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(MARK)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    for id in [1, 2] {
        let link = format!("select count(*) from dbmail_mesh.link_status l where l::text like '%{MARK}%'");
        assert_eq!(mesh.count(id, &link).await, 0, "what is told of a link");
    }
}

/// A message that the target refuses: it is set aside with a reason that names what it is, and the mark is not in it.
async fn refused(mesh: &Mesh, inbox: MailboxId, at: usize, reason: &str, complaint: &str) {
    let target = mesh.psql(2).await;
    target.batch_execute(complaint).await.unwrap();
    let mut mail = marked(&format!("refused{at}"));
    // Values that are there already are not inserted again.
    mail.headers.push(("Comments".into(), format!("{MARK} {at}")));
    mesh.dbmail(1).await.deliver(inbox, &mail).await.unwrap();
    let begun = Instant::now();
    let reasons = loop {
        let rows = target.query("select reason from dbmail_mesh.set_aside", &[]).await.unwrap();
        let reasons: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !reasons.is_empty() {
            break reasons;
        }
        assert!(begun.elapsed() < DEADLINE, "{reason}: nothing is set aside");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(reasons.iter().any(|told| told.contains(reason)), "{reason} is not in {reasons:?}");
    assert!(!reasons.iter().any(|told| told.contains(MARK)), "{reasons:?}");
    target.batch_execute(UNDO).await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 0).await;
}

fn database(mesh: &Mesh) -> String {
    mesh.node(2).connection.get_dbname().unwrap().to_owned()
}
