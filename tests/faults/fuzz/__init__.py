"""Requests that are wrong in every way: made by chance, sent by the hundred thousand, their answers judged."""
