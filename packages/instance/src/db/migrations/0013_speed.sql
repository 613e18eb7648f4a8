-- What is written most finds room beside its old row, and changes no index (HOT).
alter table executors set (fillfactor = 50);
