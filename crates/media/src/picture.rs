//! From a decoded picture to one that an output takes: the filters, in the order that keeps each of them honest.

use domain::{Dynamic, StreamFacts, VideoFacts};

use crate::size;

/// Filters for one picture stream, and what its `-i` must say for them to hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) input: &'static [&'static str],
    /// Joined by commas they are a chain that ends in 8-bit 4:2:0, square pixels and, where asked for, a constant
    /// rate.
    pub(crate) filters: Vec<String>,
}

/// How a picture meets its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// Exactly this size; the aspect ratio is right already, as far as the first picture says.
    Size(u32, u32),
    /// Within this size, with bars.
    Tile(u32, u32),
}

/// WebRTC changes the picture's size whenever the network does. By default ffmpeg then builds the filter graph
/// anew, and `fps` and `setpts` start counting again; with this the graph stays and `scale`, standing first,
/// takes pictures of any size.
const KEEP_GRAPH: &[&str] = &["-reinit_filter:v", "0"];

/// `tonemap`: this ffmpeg can map HDR to SDR.
pub(crate) fn picture(stream: &StreamFacts, facts: &VideoFacts, into: Into, tonemap: bool) -> Picture {
    let mut filters = Vec::new();
    let keep_graph = may_change(stream, facts);
    let (width, height) = match into {
        Into::Size(width, height) | Into::Tile(width, height) => (width, height),
    };
    let bars = keep_graph || matches!(into, Into::Tile(..));
    if facts.interlaced && !keep_graph {
        filters.push("bwdif=mode=send_frame".to_owned());
    }
    if alpha(&facts.pixel_format) && !keep_graph {
        // Dropping the plane would show whatever lies under transparent pixels: flatten onto black instead.
        filters.push("format=gbrap,premultiply=inplace=1".to_owned());
    }
    if bars {
        // A change of shape in mid-stream (a phone that is turned) gets bars, not a distorted picture. The first
        // scale makes pixels square: the second only looks at width and height.
        if facts.sar.0 != facts.sar.1 && facts.sar.0 > 0 && facts.sar.1 > 0 {
            filters.push("scale=trunc(iw*sar/2)*2:ih:eval=frame".to_owned());
        }
        filters.push(format!(
            "scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:eval=frame"
        ));
        filters.push(format!("pad={width}:{height}:-1:-1:eval=frame"));
        filters.push("setsar=1".to_owned());
    } else if facts.display_size() != (width, height) || facts.sar.0 != facts.sar.1 {
        filters.push(format!("scale={width}:{height}"));
        filters.push("setsar=1".to_owned());
    }
    if let Some(transfer) = transfer(facts.dynamic).filter(|_| tonemap) {
        // After scaling, because it works in 32-bit floats. The source's properties are given, not read: phones
        // leave the matrix out, and zscale then refuses.
        filters.push(format!("zscale=tin={transfer}:min=2020_ncl:pin=2020:rin=tv:t=linear:npl=100"));
        filters.push("format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0".to_owned());
        filters.push("zscale=t=bt709:m=bt709:r=tv".to_owned());
    }
    Picture { input: if keep_graph { KEEP_GRAPH } else { &[] }, filters }
}

impl Picture {
    /// A constant rate for a stream of so many pictures.
    pub(crate) fn rate(mut self, rate: (u32, u32), packets: u64) -> Picture {
        // How long a lone picture lasts is unknown, and rounding its end would leave none.
        let end = if packets == 1 { ":start_time=0:eof_action=pass" } else { "" };
        self.filters.push(format!("fps={}{end}", size::rate_text(rate)));
        self
    }

    /// One matrix and range for pictures that meet on one canvas.
    pub(crate) fn bt709(mut self) -> Picture {
        self.filters.push("scale=out_color_matrix=bt709:out_range=tv,format=yuv420p".to_owned());
        self
    }

    pub(crate) fn format(mut self, format: &str) -> Picture {
        self.filters.push(format!("format={format}"));
        self
    }

    pub(crate) fn chain(&self) -> String {
        self.filters.join(",")
    }
}

/// Known to change, or of a codec whose pictures carry their own size where no container repeats it. A rotated
/// stream is turned by a filter of ffmpeg's own in front of ours, and that one needs the rebuilt graph.
fn may_change(stream: &StreamFacts, facts: &VideoFacts) -> bool {
    facts.rotation == 0
        && (!facts.constant_resolution || matches!(stream.codec.as_str(), "vp8" | "vp9" | "av1"))
}

fn alpha(pixel_format: &str) -> bool {
    ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "pal8"]
        .iter()
        .any(|prefix| pixel_format.starts_with(prefix))
}

fn transfer(dynamic: Dynamic) -> Option<&'static str> {
    match dynamic {
        Dynamic::Sdr => None,
        Dynamic::Pq => Some("smpte2084"),
        Dynamic::Hlg => Some("arib-std-b67"),
    }
}
