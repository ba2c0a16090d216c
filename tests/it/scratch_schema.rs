//! The dbmail schema of throwaway nodes against the catalog of an installed dbmail.

use dbmail_mesh::scratch::catalog::catalog;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};

/// The catalog of dbmail 3.5.6 on PostgreSQL without its views, which are our own, in the words of `catalog`.
const DBMAIL: &str = include_str!("../snapshots/dbmail_catalog.txt");

#[tokio::test]
async fn the_schema_is_that_of_an_installed_dbmail() {
    let client = connect(&fresh_dbmail("schema").await.unwrap()).await.unwrap();
    let ours = catalog(&client).await.unwrap();
    let (views, rest): (Vec<&str>, Vec<&str>) = ours.lines().partition(|line| line.starts_with("view "));
    let expected: Vec<&str> = DBMAIL.lines().collect();
    let missing: Vec<_> = expected.iter().filter(|line| !rest.contains(line)).collect();
    let surplus: Vec<_> = rest.iter().filter(|line| !expected.contains(line)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    let names: Vec<&str> = views.iter().filter_map(|line| line.split([' ', ':']).nth(1)).collect();
    let expected = ["dbmail_ccfield", "dbmail_datefield", "dbmail_fromfield", "dbmail_subjectfield", "dbmail_tofield"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_new_database_has_the_rows_of_an_installation() {
    let client = connect(&fresh_dbmail("rows").await.unwrap()).await.unwrap();
    let users = client.query("select user_idnr, userid from dbmail_users order by 1", &[]).await.unwrap();
    let users: Vec<(i64, String)> = users.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [(1, "__@!internal_delivery_user!@__"), (2, "anyone"), (3, "__public__")];
    assert_eq!(users, expected.map(|(id, name)| (id, name.to_owned())));
    let version = client.query_one("select max(to_version), count(*) from dbmail_upgrade_steps", &[]).await.unwrap();
    assert_eq!((version.get(0), version.get(1)), (35002_i32, 8_i64));
}

#[tokio::test]
async fn databases_can_be_made_at_once() {
    let made: Vec<_> = (0..4).map(|_| tokio::spawn(fresh_dbmail("many"))).collect();
    for database in made {
        connect(&database.await.unwrap().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_exists_is_an_error_that_names_it() {
    let database = fresh_dbmail("twice").await.unwrap();
    let name = database.get_dbname().unwrap();
    let error = shared_cluster().await.unwrap().create_dbmail(name).await.unwrap_err();
    assert!(error.to_string().contains(name) && error.to_string().contains("42P04"), "{error}");
}
