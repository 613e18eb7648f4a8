-- A job without a token or a key is in neither index: each move of it is one entry less in both.

alter table jobs
  drop constraint jobs_token_sha256_key,
  drop constraint jobs_tenant_idempotency_key_key;
create unique index jobs_token_sha256 on jobs (token_sha256) where token_sha256 is not null;
create unique index jobs_idempotency on jobs (tenant, idempotency_key) where idempotency_key is not null;
