"""From files users have to sequences with a split: readers of standard formats, subjects, sets cut by subject."""
