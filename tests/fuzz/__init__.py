"""Fuzzing: whatever comes in is taken or refused by name, and nothing else happens."""
