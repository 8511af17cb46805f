"""Evidence for people who were not there: the lineage of files, its verification, and the record of a run."""
