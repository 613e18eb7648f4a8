-- An index stays when the job that made it is removed.
alter table uploads
  alter column job_id drop not null,
  drop constraint uploads_job_id_fkey,
  add foreign key (job_id) references jobs on delete set null;
create index uploads_job on uploads (job_id);
-- For the jobs that ended first.
create index jobs_finished on jobs (finished_at) where finished_at is not null;
