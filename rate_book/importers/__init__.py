"""Importers: somebody else's price list into provider files of a book."""
