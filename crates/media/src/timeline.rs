//! Who is in the picture when. Pure, and in frames: a session is cut at every join and leave, the cuts are rendered
//! and joined, and their lengths must add up exactly.

/// One tile's life, in frames of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) input: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A stretch in which nobody joins or leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Inputs, in the manifest's order: tiles are filled in it. Nobody: a black picture.
    pub(crate) inputs: Vec<usize>,
}

impl Segment {
    pub(crate) fn frames(&self) -> u64 {
        self.to - self.from
    }
}

pub(crate) fn segments(spans: &[Span], total: u64) -> Vec<Segment> {
    let mut cuts: Vec<u64> =
        spans.iter().flat_map(|span| [span.from, span.to]).filter(|cut| *cut < total).collect();
    cuts.extend([0, total]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut segments: Vec<Segment> = Vec::new();
    for pair in cuts.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let inputs: Vec<usize> =
            spans.iter().filter(|span| span.from <= from && to <= span.to).map(|span| span.input).collect();
        match segments.last_mut() {
            // One left in the frame in which the same tile came back: nothing changes.
            Some(last) if last.inputs == inputs => last.to = to,
            _ => segments.push(Segment { from, to, inputs }),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size;

    fn span(input: usize, from: u64, to: u64) -> Span {
        Span { input, from, to }
    }

    #[test]
    fn a_session_is_cut_at_every_join_and_leave() {
        let cut = segments(&[span(0, 0, 300), span(1, 45, 270), span(2, 45, 300)], 330);
        let shown: Vec<_> = cut.iter().map(|s| (s.from, s.to, s.inputs.clone())).collect();
        assert_eq!(
            shown,
            [(0, 45, vec![0]), (45, 270, vec![0, 1, 2]), (270, 300, vec![0, 2]), (300, 330, vec![]),]
        );
    }

    #[test]
    fn everybody_all_the_time_is_one_segment() {
        assert_eq!(segments(&[span(0, 0, 250), span(1, 0, 250)], 250).len(), 1);
        assert_eq!(segments(&[], 250), [Segment { from: 0, to: 250, inputs: vec![] }]);
    }

    /// Whatever the joins and leaves in milliseconds: the segments' frames sum to the whole, at any rate.
    #[test]
    fn frames_sum_exactly() {
        for rate in [(25, 1), (30, 1), (30_000, 1001)] {
            let total = size::frames(10_017, rate);
            let spans: Vec<_> = [(0, 10_017), (333, 6_667), (1_001, 9_999), (6_667, 10_000)]
                .iter()
                .enumerate()
                .map(|(input, (from, to))| span(input, size::frames(*from, rate), size::frames(*to, rate)))
                .collect();
            let cut = segments(&spans, total);
            assert_eq!(cut.iter().map(Segment::frames).sum::<u64>(), total);
            assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }
}
