//! What the keys and the data make of the state.
