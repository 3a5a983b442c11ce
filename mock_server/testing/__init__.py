"""fluxmock under pytest: fixtures, the real host out of reach, the story of a failed test."""
