"""Rules over records: pure functions that say what is wrong, and never decide."""
