//! What a person has made of a recording by hand: the same as a rule's `convert` and `mix`.

use domain::{Action, Facts, Kind, Layout, Output, Preset, Tenths, Timestamp};

use crate::{
    evaluate::unfit,
    mix::{Mixing, mix},
};

/// A rendition that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Making {
    Convert(Preset),
    Mix { preset: Preset, layout: Layout, loudness: Option<Tenths> },
}

impl Making {
    /// Errors: which presets a layout takes.
    pub fn mix(preset: Preset, layout: Layout, loudness: Option<Tenths>) -> Result<Self, String> {
        fits(layout, &preset)?;
        Ok(Self::Mix { preset, layout, loudness })
    }

    pub fn preset(&self) -> &Preset {
        match self {
            Self::Convert(preset) | Self::Mix { preset, .. } => preset,
        }
    }

    /// What it comes to for one recording. Errors: why nothing can be made, as a clause.
    pub fn action(&self, facts: &Facts, now: Timestamp) -> Result<Action, String> {
        let it = &facts.recording;
        match self {
            Self::Convert(_) if it.kind == Kind::Session => {
                Err("a session is not converted; `mix` composes its tracks".into())
            }
            Self::Convert(_) if it.probe.is_none() => Err("it is not probed yet".into()),
            Self::Convert(preset) => match unfit(facts, preset) {
                Some(why) => Err(why),
                None => Ok(Action::Convert { preset: preset.clone() }),
            },
            Self::Mix { .. } if it.kind != Kind::Session => Err("only sessions are mixed".into()),
            Self::Mix { preset, layout, loudness } => match mix(preset, *layout, *loudness, facts, now) {
                Mixing::Mix(spec, _) => Ok(Action::Mix(spec)),
                Mixing::Waits { what, .. } => Err(format!("it waits for {what}")),
                Mixing::Impossible(why) => Err(why),
            },
        }
    }
}

/// The preset that a layout has where none is named.
pub fn usual_preset(layout: Layout) -> &'static str {
    match layout {
        Layout::Grid => "mp4-720p",
        Layout::AudioOnly => "audio-m4a",
    }
}

/// Errors: which presets the layout takes.
pub(crate) fn fits(layout: Layout, preset: &Preset) -> Result<(), String> {
    let (fits, kind) = match layout {
        Layout::Grid => {
            (matches!(preset.output, Output::Video { audio: Some(_), .. }), "a video preset with audio")
        }
        Layout::AudioOnly => (matches!(preset.output, Output::Audio { .. }), "an audio preset"),
    };
    if fits {
        return Ok(());
    }
    let (layout, usual) = (layout.as_str(), usual_preset(layout));
    Err(format!("layout `{layout}` needs {kind}, such as {usual}, and `{}` is none", preset.name))
}
