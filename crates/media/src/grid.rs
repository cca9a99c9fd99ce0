//! Where tiles go. Pure.

/// A tile's place on the canvas, in pixels, all even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Columns and rows for `n` tiles: as square as it gets, wider than high, because the canvas is.
pub(crate) fn shape(n: usize) -> (u32, u32) {
    let n = n.max(1) as u32;
    let columns = (1..=n).find(|columns| columns * columns >= n).unwrap_or(1);
    (columns, n.div_ceil(columns))
}

/// Row by row; a last row that is not full stands in the middle.
pub(crate) fn cells(n: usize, (width, height): (u32, u32)) -> Vec<Cell> {
    let (columns, rows) = shape(n);
    let (w, h) = ((width / columns) & !1, (height / rows) & !1);
    let n = n as u32;
    (0..n)
        .map(|i| {
            let (column, row) = (i % columns, i / columns);
            let in_row = (n - row * columns).min(columns);
            let indent = ((columns - in_row) * w / 2) & !1;
            Cell { x: indent + column * w, y: row * h, width: w, height: h }
        })
        .collect()
}

/// A 16:9 canvas, at most `short_side` high, and no larger than the largest tile needs to be shown pixel for pixel.
/// `groups` are the sizes of the tiles that are shown together.
pub(crate) fn canvas(short_side: u32, groups: &[Vec<(u32, u32)>]) -> (u32, u32) {
    let need = groups
        .iter()
        .flat_map(|group| {
            let (columns, rows) = shape(group.len());
            group.iter().map(move |(w, h)| {
                (u64::from(*h) * u64::from(rows)).max(u64::from(*w) * u64::from(columns) * 9 / 16)
            })
        })
        .max()
        .unwrap_or(360);
    let height = crate::size::even(need.min(u64::from(short_side)).max(16) as u32);
    (crate::size::even((height * 16).div_ceil(9)), height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_as_square_as_they_get() {
        let shapes: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 9, 10, 16, 17].map(shape).to_vec();
        assert_eq!(
            shapes,
            [(1, 1), (2, 1), (2, 2), (2, 2), (3, 2), (3, 2), (3, 3), (3, 3), (4, 3), (4, 4), (5, 4)]
        );
    }

    #[test]
    fn three_tiles_have_the_third_in_the_middle() {
        let cells = cells(3, (1280, 720));
        let places: Vec<_> = cells.iter().map(|c| (c.x, c.y, c.width, c.height)).collect();
        assert_eq!(places, [(0, 0, 640, 360), (640, 0, 640, 360), (320, 360, 640, 360)]);
    }

    #[test]
    fn tiles_lie_within_the_canvas_and_on_even_pixels() {
        for n in 1..50 {
            for cell in cells(n, (854, 480)) {
                assert!(cell.x + cell.width <= 854 && cell.y + cell.height <= 480, "{n}: {cell:?}");
                assert!([cell.x, cell.y, cell.width, cell.height].iter().all(|side| side % 2 == 0));
            }
        }
    }

    /// Tiles are not blown up to fill a preset.
    #[test]
    fn the_canvas_is_no_larger_than_its_tiles() {
        assert_eq!(canvas(720, &[vec![(640, 360); 4]]), (1280, 720));
        assert_eq!(canvas(1080, &[vec![(320, 240)], vec![(320, 240); 2]]), (640, 360));
        assert_eq!(canvas(480, &[vec![(1920, 1080); 9]]), (854, 480));
    }
}
