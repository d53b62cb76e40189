use std::fs;
use std::path::Path;

use super::model_fs::{ModelFs, Plan};
use super::testing::{EXPIRES_AT, NOW, body, id, order};
use super::*;
use crate::actions::known::KEPT_AFTER_EXPIRY_SECONDS;

fn open(folder: &Path) -> (Journal, Recovered) {
    try_open(folder).expect("it opens")
}

fn try_open(folder: &Path) -> Result<(Journal, Recovered), JournalError> {
    open_at(folder, NOW)
}

fn open_at(folder: &Path, now: i64) -> Result<(Journal, Recovered), JournalError> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match Journal::open(folder, Disk, now) {
            // A process that another test is starting has a copy of every descriptor for a moment, locks included.
            Err(JournalError::Locked) if std::time::Instant::now() < deadline => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

fn open_model(fs: &ModelFs) -> (Journal<ModelFs>, Recovered) {
    Journal::open(Path::new("/state"), fs.clone(), NOW).expect("it opens")
}

fn names(ids: impl Iterator<Item = impl ToString>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

#[test]
fn a_life_on_a_real_disk() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let (mut journal, recovered) = open(&folder);
    assert_eq!(recovered.beginning, Beginning::New);
    let instance_id = journal.instance_id().to_owned();
    assert_eq!(instance_id.len(), 32);

    // A second process waits, even for a journal that it would only read.
    assert!(matches!(
        Journal::open(&folder, Disk, NOW),
        Err(JournalError::Locked)
    ));

    for name in ["received", "claimed", "started", "done", "reported"] {
        journal.received(&order(name, "worker-7")).unwrap();
    }
    for name in ["claimed", "started", "done", "reported"] {
        journal.claimed(&id(name)).unwrap();
    }
    let at = time::macros::datetime!(2026-01-01 00:00:00.123 UTC);
    journal.started(&id("started"), at).unwrap();
    journal
        .step(&id("started"), "{\"pod\":\"shop/web-1\"}")
        .unwrap();
    for name in ["done", "reported"] {
        journal
            .done(&id(name), &body("{\"status\":\"succeeded\"}"))
            .unwrap();
    }
    journal.reported(&id("reported")).unwrap();
    journal.set_config(3, "{\"batch_size\":5}").unwrap();
    assert_eq!(names(journal.in_progress()), ["claimed", "started", "done"]);
    drop(journal);

    let (journal, recovered) = open(&folder);
    assert_eq!(recovered.beginning, Beginning::Continued { torn_bytes: 0 });
    assert_eq!(journal.instance_id(), instance_id);
    assert_eq!(journal.config(), (3, Some("{\"batch_size\":5}")));
    let stages: Vec<(&str, &Stage)> = recovered
        .unfinished
        .iter()
        .map(|it| (it.envelope.id().as_str(), &it.stage))
        .collect();
    let started = Stage::Started {
        at,
        steps: vec!["{\"pod\":\"shop/web-1\"}".into()],
    };
    assert_eq!(
        stages,
        [
            ("received", &Stage::Received),
            ("claimed", &Stage::Claimed),
            ("started", &started)
        ]
    );
    assert!(
        recovered
            .unfinished
            .iter()
            .all(|it| it.expires_at == EXPIRES_AT)
    );
    let unsent: Vec<_> = journal.unsent().collect();
    assert_eq!(unsent, [(&id("done"), &body("{\"status\":\"succeeded\"}"))]);
    assert_eq!(names(journal.in_progress()), ["claimed", "started", "done"]);
    for name in ["received", "claimed", "started", "done", "reported"] {
        assert_eq!(journal.seen(&order(name, "worker-7")), Seen::Duplicate);
        assert_eq!(journal.seen(&order(name, "worker-8")), Seen::Conflict);
    }
    assert_eq!(journal.seen(&order("another", "worker-7")), Seen::New);
}

#[test]
fn two_journals_have_two_ids() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(
        open(a.path()).0.instance_id(),
        open(b.path()).0.instance_id()
    );
}

#[test]
fn a_torn_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let (mut journal, _) = open(folder.path());
    journal.received(&order("a", "worker-7")).unwrap();
    journal.claimed(&id("a")).unwrap();
    let whole = fs::read(&file).unwrap();
    journal.received(&order("b", "worker-7")).unwrap();
    drop(journal);
    let more = fs::read(&file).unwrap();
    for end in whole.len() + 1..more.len() {
        fs::write(&file, &more[..end]).unwrap();
        let (journal, recovered) = open(folder.path());
        let torn_bytes = (end - whole.len()) as u64;
        assert_eq!(recovered.beginning, Beginning::Continued { torn_bytes });
        assert_eq!(
            names(recovered.unfinished.iter().map(|it| it.envelope.id())),
            ["a"]
        );
        drop(journal);
        // It was cut off for good.
        let (_, recovered) = open(folder.path());
        assert_eq!(recovered.beginning, Beginning::Continued { torn_bytes: 0 });
    }
}

/// Every single byte of what was on the disk for certain, changed: the journal never goes on as if nothing were.
#[test]
fn damage_is_noticed_and_kept() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    journal.received(&order("a", "worker-7")).unwrap();
    journal.claimed(&id("a")).unwrap();
    journal.done(&id("a"), &body("{}")).unwrap();
    // The lines that a later one vouches for. Two, since without the line end between them one would go with it.
    let mut promised = 0;
    fs.damage("journal", |content| promised = content.len());
    journal.set_config(1, "{}").unwrap();
    journal.set_config(2, "{}").unwrap();
    let instance_id = journal.instance_id().to_owned();
    drop(journal);
    let mut content = Vec::new();
    fs.damage("journal", |it| content.clone_from(it));

    for n in 0..promised {
        let mut damaged = content.clone();
        damaged[n] ^= 1;
        fs.damage("journal", |it| *it = damaged.clone());
        let (journal, recovered) = open_model(&fs);
        let Beginning::Damaged { kept_as } = recovered.beginning else {
            panic!("byte {n}: {:?}", recovered.beginning)
        };
        assert_eq!(kept_as, Path::new("/state/journal.corrupt-1767225600"));
        assert_ne!(journal.instance_id(), instance_id);
        assert!(recovered.unfinished.is_empty());
        assert_eq!(journal.unsent().count(), 0);
        assert_eq!(fs.names(), ["journal", "journal.corrupt-1767225600"]);
        let mut kept = Vec::new();
        fs.damage("journal.corrupt-1767225600", |it| kept.clone_from(it));
        assert_eq!(kept, damaged);
    }
}

#[test]
fn lines_that_are_lost_are_damage() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    for name in ["a", "b", "c"] {
        journal.received(&order(name, "worker-7")).unwrap();
        journal.claimed(&id(name)).unwrap();
    }
    drop(journal);
    let mut content = Vec::new();
    fs.damage("journal", |it| content.clone_from(it));
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    for n in 0..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(n);
        fs.damage("journal", |it| *it = fewer.concat());
        let (_, recovered) = open_model(&fs);
        assert!(
            matches!(recovered.beginning, Beginning::Damaged { .. }),
            "without line {n}"
        );
    }
}

/// A file in which nothing was appended since it was written: only its seal says that it is whole.
#[test]
fn damage_in_a_clean_file_is_noticed_too() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    for name in ["a", "b"] {
        journal.received(&order(name, "worker-7")).unwrap();
        journal.claimed(&id(name)).unwrap();
    }
    journal.done(&id("b"), &body("{}")).unwrap();
    drop(journal);
    drop(open_model(&fs));
    let mut content = Vec::new();
    fs.damage("journal", |it| content.clone_from(it));

    let flipped = (0..content.len()).map(|n| {
        let mut damaged = content.clone();
        damaged[n] ^= 1;
        damaged
    });
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let without_a_line = (0..lines.len()).map(|n| {
        let mut fewer = lines.clone();
        fewer.remove(n);
        fewer.concat()
    });
    let cut = (0..content.len()).map(|n| content[..n].to_vec());
    for damaged in flipped.chain(without_a_line).chain(cut) {
        fs.damage("journal", |it| it.clone_from(&damaged));
        let (_, recovered) = open_model(&fs);
        let text = String::from_utf8_lossy(&damaged).into_owned();
        assert!(
            matches!(recovered.beginning, Beginning::Damaged { .. }),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_journal_is_damage() {
    let long_line = "x".repeat(3 << 20);
    let other_format = line::write(
        &Record::Journal {
            format: 2,
            instance_id: Cow::Borrowed("i"),
        },
        0,
    );
    for content in [
        "",
        "\n",
        "not a journal\n",
        "\0\0\0\0",
        &long_line,
        &other_format,
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("journal"), content).unwrap();
        let (journal, recovered) = open(folder.path());
        assert!(
            matches!(recovered.beginning, Beginning::Damaged { .. }),
            "{content:.20}"
        );
        assert_eq!(journal.fault(), None);
    }
}

#[test]
fn a_few_damaged_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..6 {
        fs::write(folder.path().join("journal"), "damaged").unwrap();
        drop(open_at(folder.path(), NOW + n).unwrap());
    }
    let mut names = Disk.list(folder.path()).unwrap();
    names.sort();
    let kept = [
        "journal.corrupt-1767225603",
        "journal.corrupt-1767225604",
        "journal.corrupt-1767225605",
    ];
    assert_eq!(names, [&["journal"][..], &kept, &["lock"]].concat());
}

#[test]
fn ids_stay_known_until_600_s_after_their_time() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    for name in ["done", "open"] {
        journal.received(&order(name, "worker-7")).unwrap();
    }
    journal.dropped(&id("done")).unwrap();
    let (done, still_open) = (order("done", "worker-7"), order("open", "worker-7"));
    let end = EXPIRES_AT + KEPT_AFTER_EXPIRY_SECONDS;

    journal.maintain(end - 1).unwrap();
    assert_eq!(journal.seen(&done), Seen::Duplicate);
    drop(journal);
    let (mut journal, _) = Journal::open(Path::new("/state"), fs.clone(), end - 1).unwrap();
    assert_eq!(journal.seen(&done), Seen::Duplicate);
    journal.maintain(end).unwrap();
    assert_eq!(journal.seen(&done), Seen::New);
    assert_eq!(journal.seen(&still_open), Seen::Duplicate);
    drop(journal);
    let (journal, recovered) = Journal::open(Path::new("/state"), fs.clone(), end).unwrap();
    assert_eq!(journal.seen(&done), Seen::New);
    assert_eq!(journal.seen(&still_open), Seen::Duplicate);
    assert_eq!(
        names(recovered.unfinished.iter().map(|it| it.envelope.id())),
        ["open"]
    );
    // A forgotten id can be taken again, and the file with both lives of it can be read.
    drop(journal);
    let (mut journal, _) = open_model(&fs);
    journal.received(&done).unwrap();
    journal.dropped(&id("done")).unwrap();
    journal.maintain(end).unwrap();
    journal.received(&done).unwrap();
    drop(journal);
    let (_, recovered) = open_model(&fs);
    assert_eq!(recovered.beginning, Beginning::Continued { torn_bytes: 0 });
    assert_eq!(
        names(recovered.unfinished.iter().map(|it| it.envelope.id())),
        ["open", "done"]
    );
}

#[test]
fn a_full_outbox_stops_the_claiming_and_drops_nothing() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    for n in 0..MAX_OUTBOX_RESULTS {
        let name = format!("act_{n}");
        journal.may_claim().unwrap();
        journal.received(&order(&name, "worker-7")).unwrap();
        journal.claimed(&id(&name)).unwrap();
        // The last ones are claimed only: their results will come.
        if n < MAX_OUTBOX_RESULTS - 10 {
            journal.done(&id(&name), &body("{}")).unwrap();
        }
    }
    let full = Err(JournalError::Full(Bound::Outbox));
    assert_eq!(journal.may_claim(), full);
    assert_eq!(journal.received(&order("more", "worker-7")), full);
    assert_eq!(journal.seen(&order("more", "worker-7")), Seen::New);
    for n in MAX_OUTBOX_RESULTS - 10..MAX_OUTBOX_RESULTS {
        journal.done(&id(&format!("act_{n}")), &body("{}")).unwrap();
    }
    assert_eq!(journal.unsent().count(), MAX_OUTBOX_RESULTS);
    assert_eq!(journal.in_progress().count(), MAX_OUTBOX_RESULTS);

    // Sent or parked, it makes room.
    journal.reported(&id("act_7")).unwrap();
    assert_eq!(journal.may_claim(), Ok(()));
    journal.received(&order("more", "worker-7")).unwrap();
    journal.claimed(&id("more")).unwrap();
    assert_eq!(journal.may_claim(), full);
    journal.parked(&id("act_8")).unwrap();
    assert_eq!(journal.may_claim(), Ok(()));
    assert_eq!(names(journal.in_parking().map(|(id, _)| id)), ["act_8"]);
    assert!(!names(journal.in_progress()).contains(&"act_8".to_owned()));
}

#[test]
fn an_outbox_full_by_bytes() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    let large = body(&"x".repeat(MAX_OUTBOX_BYTES / 50));
    for n in 0..51 {
        let name = format!("act_{n}");
        journal.received(&order(&name, "worker-7")).unwrap();
        journal.claimed(&id(&name)).unwrap();
        journal.done(&id(&name), &large).unwrap();
        assert_eq!(journal.may_claim().is_err(), n >= 50, "{n}");
        if n >= 50 {
            break;
        }
    }
}

#[test]
fn calls_out_of_order_change_nothing() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    let unknown = id("unknown");
    let out_of_order = |call| {
        Err(JournalError::OutOfOrder {
            id: id("unknown"),
            call,
        })
    };
    assert_eq!(journal.claimed(&unknown), out_of_order("claimed"));
    assert_eq!(journal.done(&unknown, &body("{}")), out_of_order("done"));
    assert_eq!(journal.reported(&unknown), out_of_order("reported"));
    assert_eq!(journal.dropped(&unknown), out_of_order("dropped"));
    assert_eq!(journal.parked(&unknown), out_of_order("parked"));

    let is_out_of_order = |result| matches!(result, Err(JournalError::OutOfOrder { .. }));
    let a = id("a");
    journal.received(&order("a", "worker-7")).unwrap();
    assert!(is_out_of_order(journal.received(&order("a", "worker-7"))));
    assert!(is_out_of_order(journal.received(&order("a", "worker-8"))));
    // Never started without a claim, never done without one.
    assert!(is_out_of_order(
        journal.started(&a, OffsetDateTime::UNIX_EPOCH)
    ));
    assert!(is_out_of_order(journal.done(&a, &body("{}"))));
    assert!(is_out_of_order(journal.reported(&a)));
    journal.claimed(&a).unwrap();
    journal.claimed(&a).unwrap();
    journal.started(&a, OffsetDateTime::UNIX_EPOCH).unwrap();
    // Never started twice, never forgotten without a result.
    assert!(is_out_of_order(
        journal.started(&a, OffsetDateTime::UNIX_EPOCH)
    ));
    assert!(is_out_of_order(journal.dropped(&a)));
    assert!(is_out_of_order(journal.reported(&a)));
    journal.done(&a, &body("{}")).unwrap();
    assert!(is_out_of_order(journal.done(&a, &body("{\"other\":1}"))));
    assert!(is_out_of_order(journal.dropped(&a)));
    assert_eq!(
        journal
            .unsent()
            .map(|(_, body)| body.as_str())
            .collect::<Vec<_>>(),
        ["{}"]
    );
    assert_eq!(journal.fault(), None);
}

#[test]
fn settings_only_grow() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    assert_eq!(journal.config(), (0, None));
    assert_eq!(
        journal.set_config(0, "{}"),
        Err(JournalError::NotNewer { current: 0 })
    );
    journal.set_config(5, "{}").unwrap();
    for version in [0, 4, 5] {
        assert_eq!(
            journal.set_config(version, "{}"),
            Err(JournalError::NotNewer { current: 5 })
        );
    }
    journal.set_config(u64::MAX, "{\"dry_run\":true}").unwrap();
    assert_eq!(journal.config(), (u64::MAX, Some("{\"dry_run\":true}")));
}

#[test]
fn settings_are_remembered_as_orders_are() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    journal.remember(&order("config", "worker-7")).unwrap();
    assert_eq!(journal.seen(&order("config", "worker-7")), Seen::Duplicate);
    assert_eq!(journal.seen(&order("config", "worker-8")), Seen::Conflict);
}

#[test]
fn a_record_that_no_reader_would_take_is_refused() {
    let (mut journal, _) = open_model(&ModelFs::new(1));
    journal.received(&order("a", "worker-7")).unwrap();
    journal.claimed(&id("a")).unwrap();
    journal
        .started(&id("a"), OffsetDateTime::UNIX_EPOCH)
        .unwrap();
    let huge = "x".repeat(MAX_LINE_BYTES);
    assert_eq!(journal.step(&id("a"), &huge), Err(JournalError::TooLong));
    assert_eq!(journal.set_config(1, &huge), Err(JournalError::TooLong));
    assert_eq!(journal.config(), (0, None));
    journal.step(&id("a"), "{}").unwrap();
}

#[test]
fn the_file_stays_small() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    let mut longest = 0;
    for n in 0..500 {
        let name = format!("act_{n}");
        // Each comes after the one before it is forgotten.
        let now = NOW + 2000 * n;
        journal.received(&order(&name, "worker-7")).unwrap();
        journal.claimed(&id(&name)).unwrap();
        journal.done(&id(&name), &body("{}")).unwrap();
        journal.reported(&id(&name)).unwrap();
        journal.maintain(now).unwrap();
        fs.damage("journal", |content| longest = longest.max(content.len()));
    }
    assert!(longest < 4096, "{longest} bytes");
    assert_eq!(fs.names(), ["journal"]);
}

#[test]
fn a_failed_write_is_a_typed_error_and_no_more_is_written_until_repaired() {
    for kind in [
        std::io::ErrorKind::StorageFull,
        std::io::ErrorKind::ReadOnlyFilesystem,
    ] {
        let fs = ModelFs::new(1);
        let (mut journal, _) = open_model(&fs);
        journal.received(&order("a", "worker-7")).unwrap();
        fs.plan(Plan::Fail {
            from: 0,
            count: 1,
            kind,
        });
        let Err(JournalError::NotWritten(fault)) = journal.claimed(&id("a")) else {
            panic!("{kind:?} was not noticed")
        };
        assert_eq!(fault.kind(), kind);
        assert!(
            fault
                .to_string()
                .starts_with("failed to write /state/journal: "),
            "{fault}"
        );
        assert_eq!(journal.fault(), Some(&fault));

        // The disk is well again, and still nothing is appended behind what may be torn.
        let n_operations = fs.n_operations();
        let not_written = Err(JournalError::NotWritten(fault));
        assert_eq!(journal.done(&id("a"), &body("{}")), not_written);
        assert_eq!(journal.received(&order("b", "worker-7")), not_written);
        assert_eq!(fs.n_operations(), n_operations);
        // The result is there to be sent all the same.
        assert_eq!(names(journal.unsent().map(|(id, _)| id)), ["a"]);

        journal.maintain(NOW).unwrap();
        assert_eq!(journal.fault(), None);
        journal.received(&order("b", "worker-7")).unwrap();
    }
}

#[test]
fn a_journal_that_can_only_be_read_still_gives_its_results() {
    let fs = ModelFs::new(1);
    let (mut journal, _) = open_model(&fs);
    journal.received(&order("a", "worker-7")).unwrap();
    journal.claimed(&id("a")).unwrap();
    journal.done(&id("a"), &body("{}")).unwrap();
    let instance_id = journal.instance_id().to_owned();
    drop(journal);
    let kind = std::io::ErrorKind::ReadOnlyFilesystem;
    fs.plan(Plan::Fail {
        from: 0,
        count: usize::MAX,
        kind,
    });
    let (mut journal, _) = open_model(&fs);
    assert_eq!(journal.fault().map(IoFault::kind), Some(kind));
    assert_eq!(journal.instance_id(), instance_id);
    assert_eq!(names(journal.unsent().map(|(id, _)| id)), ["a"]);
    assert!(matches!(
        journal.may_claim(),
        Err(JournalError::NotWritten(_))
    ));
    assert!(journal.maintain(NOW).is_err());
}

#[test]
fn a_folder_that_cannot_be_made_is_a_typed_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let opened = try_open(&file.join("state")).map(|_| ());
    let Err(JournalError::Unusable(fault)) = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(fault.kind(), std::io::ErrorKind::NotADirectory);
}
