"""Stands in for Microsoft's microsoftml, of which the sample notebooks use the data sets."""
