-- Why an executor leases nothing by itself, as its last heartbeat said: several jobs failed because of its machine. Null: it leases.
alter table executors add column trouble text;
