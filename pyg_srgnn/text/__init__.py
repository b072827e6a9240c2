"""Item text: files of texts, encoders, and the vectors of a catalogue."""
