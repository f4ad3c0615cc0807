//! Conversations told as text: what happens on the left of the clock, what the machine does behind the arrows.
//!
//! A script is a list of moments in milliseconds since the answer. Lines with `→` are what comes out; everything else
//! goes in. [`script::check`] plays the inputs on a virtual clock and compares the whole text. The voice is played by
//! the script's own synthesiser: first sound 100 ms after a phrase is given to it, 50 ms of speech a character.

mod barge_in;
mod chaos;
mod ending;
mod listening;
mod marking;
mod opening;
mod ordered;
mod screening;
mod script;
mod silence;
mod thinking;
mod tools;
mod transferring;
