-- The token of a canceled job is good for its log until its executor has let the job go. Replicas of an older build still remove it.
alter table jobs
  drop constraint jobs_token,
  add constraint jobs_token check (
    case when state <> 'processing' then token_sha256 is null else cancel_requested or token_sha256 is not null end
  );
