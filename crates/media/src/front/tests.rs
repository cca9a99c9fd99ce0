use proptest::prelude::*;

use super::*;

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

fn large(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&1_u32.to_be_bytes()[..], kind, &(body.len() as u64 + 16).to_be_bytes(), body].concat()
}

fn table(kind: &[u8; 4], places: &[u64]) -> Vec<u8> {
    let mut body = [&[0; 4][..], &(places.len() as u32).to_be_bytes()].concat();
    for place in places {
        match kind {
            b"stco" => body.extend((*place as u32).to_be_bytes()),
            _ => body.extend(place.to_be_bytes()),
        }
    }
    boxed(kind, &body)
}

/// An index of such tables, among what is none of our business.
fn index(tables: &[(&[u8; 4], Vec<u64>)]) -> Vec<u8> {
    let tracks: Vec<u8> = tables
        .iter()
        .flat_map(|(kind, places)| {
            let stbl = [boxed(b"stsz", b"sizes"), table(kind, places), boxed(b"sgpd", b"")].concat();
            let minf = [boxed(b"smhd", b"12345678"), large(b"stbl", &stbl)].concat();
            let mdia = [boxed(b"mdhd", b"clock"), boxed(b"minf", &minf)].concat();
            boxed(b"trak", &[boxed(b"tkhd", b"head"), boxed(b"mdia", &mdia)].concat())
        })
        .collect();
    boxed(b"moov", &[boxed(b"mvhd", b"movie"), tracks, boxed(b"udta", b"stco")].concat())
}

/// All places that an index names, track by track.
fn named(all: &[u8]) -> Vec<u64> {
    let (mut rest, mut found) = (all, Vec::new());
    while !rest.is_empty() {
        let (kind, body, whole) = one(rest).unwrap();
        match &kind {
            b"stco" => found.extend(places(body, 4).unwrap().map(|p| u64::from(be32(p)))),
            b"co64" => found.extend(places(body, 8).unwrap().map(be64)),
            _ if LEADING.contains(&&kind) => found.extend(named(body)),
            _ => {}
        }
        rest = &rest[whole.len()..];
    }
    found
}

proptest! {
    /// Whoever follows the index finds the same bytes as before, and nothing else has changed.
    #[test]
    fn what_the_index_names_is_where_it_says(
        data in proptest::collection::vec(any::<u8>(), 1..400),
        free in 0..40_usize,
        after in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        tracks in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<prop::sample::Index>(), 0..8)), 0..4
        ),
    ) {
        let mut file = boxed(b"ftyp", b"isom....");
        let at = file.len() as u64;
        file.extend(boxed(b"free", &vec![0; free]));
        let begins = file.len() as u64 + 8;
        file.extend(boxed(b"mdat", &data));
        let tail_at = file.len() as u64;
        let tables: Vec<(&[u8; 4], Vec<u64>)> = tracks
            .iter()
            .map(|(wide, places)| {
                let kind: &[u8; 4] = if *wide { b"co64" } else { b"stco" };
                (kind, places.iter().map(|i| begins + i.index(data.len()) as u64).collect())
            })
            .collect();
        let moov = index(&tables);
        file.extend(&moov);
        file.extend(after.map(|body| boxed(b"free", &body)).unwrap_or_default());

        prop_assert_eq!(behind_data(&file[..100.min(file.len())], file.len() as u64), Some(tail_at));
        let front = to_front(&file[..64], tail_at, &file[tail_at as usize..]).unwrap();
        prop_assert_eq!(front.at, at);
        let mut made = file[..at as usize].to_vec();
        made.extend(&front.index);
        for piece in front.behind(file.len() as u64) {
            made.extend(&file[piece.start as usize..piece.end as usize]);
        }
        prop_assert_eq!(made.len() as u64, front.len(file.len() as u64));
        let (old, new) = (named(&moov), named(&front.index));
        prop_assert_eq!(old.len(), new.len());
        for (old, new) in old.into_iter().zip(new) {
            prop_assert_eq!(new, front.moved(old));
            prop_assert_eq!(made[new as usize], file[old as usize]);
        }
        // Moved back it is the old one to the last bit.
        let shift = front.index.len() as u64;
        let mut back = Vec::new();
        patch(&front.index, &LEADING, false, &|place| place - shift, &mut back).unwrap();
        prop_assert_eq!(back, moov);
    }

    /// Anything may come in: it ends, and an answer that it gives fits the file.
    #[test]
    fn nonsense_leads_nowhere(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..300_usize) {
        let moov = index(&[(b"stco", vec![40, 50]), (b"co64", vec![60])]);
        bytes.splice(at.min(bytes.len()).., moov);
        let _ = behind_data(&bytes, 1 << 40);
        let head = boxed(b"ftyp", b"isom");
        if let Some(front) = to_front(&head, 1000, &bytes) {
            prop_assert!(front.cut.0 >= 1000 && front.cut.1 <= 1000 + bytes.len() as u64);
        }
    }
}

/// Beyond 4 GiB the tables are written with 64 bits, all of them, and the boxes around them grow.
#[test]
fn places_that_do_not_fit_any_more_get_room() {
    let head = [boxed(b"ftyp", b"isom"), large(b"mdat", b"")].concat();
    let far = u64::from(u32::MAX) - 100;
    let moov = index(&[(b"stco", vec![40, far]), (b"stco", vec![44])]);
    let tail_at = far + 4;
    let front = to_front(&head, tail_at, &moov).unwrap();
    assert_eq!(front.index.len(), moov.len() + 3 * 4);
    let shift = front.index.len() as u64;
    assert_eq!(named(&front.index), [40 + shift, far + shift, 44 + shift]);
}

#[test]
fn what_is_not_plain_stays_as_it_is() {
    let head = [boxed(b"ftyp", b"isom"), boxed(b"mdat", b"data")].concat();
    let len = head.len() as u64;
    let with = |inner: &[u8; 4]| boxed(b"moov", &boxed(b"trak", &boxed(inner, b"")));
    assert!(to_front(&head, len, &with(b"edts")).is_some());
    for inner in [b"mvex", b"saio", b"cmov"] {
        assert_eq!(to_front(&head, len, &with(inner)), None);
    }
    let deep = (0..20_000).fold(Vec::new(), |inner, _| boxed(b"trak", &inner));
    assert!(to_front(&head, len, &boxed(b"moov", &deep)).is_some(), "it does not go down there");
    // Cut, lying, missing.
    let moov = index(&[(b"stco", vec![20])]);
    assert_eq!(to_front(&head, len, &moov[..moov.len() - 1]), None);
    assert_eq!(to_front(&head, len, &boxed(b"free", b"")), None);
    assert_eq!(to_front(b"", len, &moov), None);
    let lie = boxed(
        b"moov",
        &boxed(
            b"trak",
            &boxed(
                b"mdia",
                &boxed(b"minf", &boxed(b"stbl", &boxed(b"stco", &[0, 0, 0, 0, 255, 255, 255, 255]))),
            ),
        ),
    );
    assert_eq!(to_front(&head, len, &lie), None);
    // The index comes first, or there is no end to the data.
    assert_eq!(behind_data(&[boxed(b"ftyp", b"isom"), moov].concat(), 1000), None);
    assert_eq!(
        behind_data(&[boxed(b"ftyp", b"isom"), [0, 0, 0, 0].to_vec(), b"mdat".to_vec()].concat(), 1000),
        None
    );
    assert_eq!(behind_data(&head, len), None, "nothing follows");
    assert_eq!(behind_data(&head, len + 8), Some(len));
}
