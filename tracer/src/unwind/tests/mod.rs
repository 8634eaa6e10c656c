//! Tables against what they are made of.
