-- For the jobs that index a commit, and those of a repository.
create index jobs_indexing on jobs (repository, commit) where queue = 'codeintel';
